// Small runs for the tests of the reporters: one prompt, prefill and decode0, two layers, arms "auto" and
// "valu".
#pragma once

#include <limits>
#include <string>

#include "reports/run_result.hpp"

namespace greta::reports {

inline probes::Finding example_finding(const std::string& arm, const std::string& phase, int layer,
                                       const std::string& stage, double ratio) {
  probes::Finding finding;
  finding.probe = "stage_parity";
  finding.mode = "local";
  finding.prompt = "p0_short";
  finding.arm = arm;
  finding.phase = phase;
  finding.layer = layer;
  finding.stage = stage;
  finding.status = probes::Status::pass;
  finding.shape = {2, 3, 4};
  finding.kernel = "matmul_" + arm;
  finding.contract = "op=matmul x=f32";
  finding.reason = "matmul K=256: expected = 7.1 norms";
  finding.metrics.count = 24;
  finding.metrics.bound_ratio = ratio;
  finding.metrics.certain_ratio = ratio / 8;
  finding.metrics.worst = 17;
  finding.metrics.worst_actual = 1.5;
  finding.metrics.worst_expected = 1.25;
  finding.metrics.worst_bound = 0.25 / ratio;
  return finding;
}

inline void break_finding(probes::Finding& finding, double ratio) {
  finding.status = probes::Status::fail;
  finding.metrics.bound_ratio = ratio;
  finding.metrics.certain_ratio = ratio / 8;
  finding.metrics.worst_bound = 0.25 / ratio;
  finding.metrics.out_of_bound = 5;
  finding.message =
      say("{} of {} elements are out of bound; worst at {}: {:.9g}, reference {:.9g} (bound {:.3g}, ratio "
          "{:.3g})",
          5, 24, "[1, 1, 1]", 1.5, 1.25, finding.metrics.worst_bound, ratio);
}

inline RunResult passing_run() {
  RunResult run;
  run.title = "acceptance";
  run.suite_path = "suites/acceptance.toml";
  run.identity = {"0.1.0",
                  "gcc 12.2 Release",
                  "greta run acceptance",
                  "mini.gguf",
                  "00112233445566ff",
                  "{}",
                  "host machine, wave 64, 2 threads",
                  "host",
                  "2026-11-21T08:00:00Z",
                  {{"p0_short", {1, 2}}}};
  run.reference = "AVX512, FMA";
  run.layers = 2;
  run.prompts = {"p0_short"};
  run.phases = {"prefill", "decode0"};
  run.controls = {
      {"model", "auto", probes::Status::pass, say("engine and reference both hold {}", "0123456789abcdef")},
      {"model", "valu", probes::Status::pass, say("engine and reference both hold {}", "0123456789abcdef")},
      {"route", "valu", probes::Status::pass,
       say("unit={} shape={} ran everywhere: {}", "valu", "auto", "matmul_valu")}};
  run.arms = {{"auto", probes::Status::pass, "", "unit=auto shape=auto"},
              {"valu", probes::Status::pass, "", "unit=valu shape=auto"}};
  for (const std::string arm : {"auto", "valu"}) {
    for (const std::string phase : {"prefill", "decode0"}) {
      run.findings.push_back(example_finding(arm, phase, -1, "embed", 0.0625));
      for (const int layer : {0, 1})
        for (const std::string stage : {"q", "softmax"})
          run.findings.push_back(example_finding(arm, phase, layer, stage, 0.25 * (layer + 1)));
      run.findings.push_back(example_finding(arm, phase, -1, "logits", 0.5));
    }
    run.findings.push_back(example_finding(arm, "", -1, "weight/blk.0.attn_q.weight", 0.125));
  }
  run.status = probes::Status::pass;
  run.planned = run.compared = static_cast<int64_t>(run.findings.size());
  run.wall_seconds = 12.34;
  run.engine_seconds = 4;
  run.reference_seconds = 8.25;
  run.rerun = "greta run acceptance --model mini.gguf";
  return run;
}

// q of layer 1, and what comes after it, in arm "valu" at decode0.
inline RunResult failing_run() {
  RunResult run = passing_run();
  for (auto& finding : run.findings) {
    if (finding.arm != "valu" || finding.phase != "decode0") continue;
    if (finding.layer == 1 && finding.stage == "q") break_finding(finding, 12.5);
    if (finding.stage == "logits") break_finding(finding, 4e6);
  }
  run.arms[1].status = run.status = probes::Status::fail;
  run.arms[1].first_failing = "p0_short/valu/decode0/layer_01/q stage_parity(local)";
  return run;
}

// The failing run with an answer of each kind: a cause, two that fit equally, and none.
inline RunResult explained_run() {
  using probes::Answer;
  RunResult run = failing_run();
  const std::string q = "p0_short/valu/decode0/layer_01/q stage_parity(local)",
                    logits = "p0_short/valu/decode0/logits stage_parity(local)";
  const std::string place = "p0_short/decode0/layer_01/q";
  run.explanations.push_back(
      {.arm = "valu",
       .stage = "q",
       .places = {q},
       .scope = joined({say("{} only ({})", verbatim("decode0"), say("{} passes", "prefill")),
                        say("{} only ({})", say("layer {}", "1"), say("{} passes", "0"))},
                       "; "),
       .tensors = 1,
       .tried = 1,
       .answer = Answer::explained,
       .fitting = {{.causes = {"weight_layout=col"}, .ratio = 0.25, .place = place}},
       .excluded = {{.causes = {"half_sum=f16"}, .ratio = 12.5, .place = place},
                    {.causes = {"weight_layer=next"}, .ratio = 4e6, .place = place},
                    {.causes = {"weight_layer=previous"}, .ratio = 5e6, .place = place},
                    {.causes = {"tail=terms_left_out"}, .ratio = 6e6, .place = place},
                    {.causes = {"head_scale=applied"},
                     .ratio = std::numeric_limits<double>::infinity(),
                     .place = place}},
       .not_applicable = {{.causes = {"tile_store=transposed"},
                           .place = place,
                           .applies = false,
                           .note = say("the call has fewer than 16 rows")}}});
  run.explanations.push_back(
      {.arm = "valu",
       .stage = "weight/blk.0.attn_q.weight",
       .places = {"weights/valu//weight/blk.0.attn_q.weight stage_parity(local)"},
       .consequences = {q},
       .scope = say("row {} of {}", 3, 64),
       .tensors = 2,
       .tried = 1,
       .answer = Answer::indistinguishable,
       .fitting = {{.causes = {"block_scale=neighbour"}, .ratio = 0.5},
                   {.causes = {"load_layout=transposed"}, .ratio = 0.125}},
       .tells = say("To tell them apart: {}.",
                    say("{} needs {}", "block_scale=neighbour", phrase("rows of two blocks or more")))});
  run.explanations.push_back({.arm = "valu",
                              .stage = "logits",
                              .places = {logits},
                              .scope = say("{} only ({})", verbatim("decode0"), say("{} passes", "prefill")),
                              .note = say("{} of {} failing tensors could not be looked at ({})", 1, 2,
                                          say("{} did not come from the engine", "p0_short/decode0/logits")),
                              .tensors = 2,
                              .tried = 1,
                              .pairs = 3,
                              .excluded = {{.causes = {"weight_layout=col", "half_sum=f16"}, .ratio = 1.5},
                                           {.causes = {"logits_row=previous"}, .ratio = 40}}});
  return run;
}

// A probe recorded a pass although its ratio is not a number.
inline RunResult nan_run() {
  RunResult run = passing_run();
  run.findings[3].metrics.bound_ratio = std::numeric_limits<double>::quiet_NaN();
  return run;
}

// A full disk after the first arm; the runner had no time to take the pass back.
inline RunResult interrupted_run() {
  RunResult run = passing_run();
  std::erase_if(run.findings, [](const auto& finding) { return finding.arm == "valu"; });
  run.compared = static_cast<int64_t>(run.findings.size());
  run.interrupted = verbatim("disk full: trace.h5");
  return run;
}

}  // namespace greta::reports
