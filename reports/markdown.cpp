#include "reports/markdown.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "datasets/cause.hpp"
#include "reports/atomic_file.hpp"
#include "reports/drift.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += ' ';
      continue;
    }
    if (std::string_view("|<*_`").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string escaped(const Message& message) { return escaped(message.text()); }

std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", text); }

std::string row_of(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const auto& cell : cells) out += " " + cell + " |";
  return out + "\n";
}

std::string grid_text(const Grid& grid, const std::string& corner) {
  std::vector<std::string> header = {corner}, rule = {"---"};
  for (const auto& column : grid.columns) {
    header.push_back(escaped(column));
    rule.emplace_back("---:");
  }
  std::string out = row_of(header) + row_of(rule);
  for (size_t row = 0; row < grid.rows.size(); ++row) {
    std::vector<std::string> cells = {escaped(grid.rows[row])};
    for (const auto& cell : grid.cells[row]) {
      const bool good = cell.findings == 0 || cell.status == Status::pass;
      const std::string text = escaped(to_string(cell));
      cells.push_back(good ? text : "**" + text + "**");
    }
    out += row_of(cells);
  }
  return out + "\n";
}

int64_t count_of(const RunResult& run, Status status) {
  return std::count_if(run.findings.begin(), run.findings.end(),
                       [&](const auto& f) { return status_of(f) == status; });
}

std::string summary_text(const RunResult& run) {
  std::string out =
      fmt::format("## Executive summary\n\n**{}.** {}.\n\n", upper_name(verdict_of(run)), counts_text(run));
  for (const auto& reason : invalid_reasons(run)) out += "- no verdict: " + escaped(reason) + "\n";
  for (const auto& arm : run.arms) {
    const Finding* first = first_failing(run, arm);
    if (first)
      out += fmt::format("- arm {} first fails at {}: {}\n", code(arm.name), code(first->key()),
                         escaped(first->message));
  }
  if (const Finding* worst = worst_finding(all_findings(run)))
    out += fmt::format("- worst bound ratio: {} at {}\n", ratio_text(worst->metrics.bound_ratio),
                       code(worst->key()));
  return out + "\n";
}

std::string identity_table(const RunResult& run) {
  const auto& id = run.identity;
  std::string out = row_of({"what", "which"}) + row_of({"---", "---"});
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) out += row_of({name, code(value)});
  };
  add("suite", run.suite_path);
  for (const auto& file : model_files(run)) {
    add("model", file.path);
    add("model digest (XXH3-64)", file.digest);
  }
  add("device", id.device);
  add("backend", id.backend);
  add("reference", run.reference);
  add("greta", id.greta_version);
  add("build", id.build);
  add("created", id.created);
  add("command", id.command_line);
  add("took", fmt::format("{} (engine {}, reference {})", duration(run.wall_seconds),
                          duration(run.engine_seconds), duration(run.reference_seconds)));
  for (const auto& [prompt, tokens] : id.prompt_tokens)
    add("prompt " + escaped(prompt), fmt::format("{} tokens", tokens.size()));
  return out + "\n";
}

std::string controls_table(const RunResult& run) {
  if (run.controls.empty()) return {};
  std::string out = "### Controls\n\nWhat must hold before anything is concluded.\n\n" +
                    row_of({"control", "arm", "holds", "what was found"}) +
                    row_of({"---", "---", "---", "---"});
  for (const auto& control : run.controls)
    out += row_of({control.name, code(control.arm), control.status == Status::pass ? "yes" : "**no**",
                   escaped(control.line)});
  return out + "\n";
}

std::string method_text(const RunResult& run) {
  std::string out = "## Method\n\n";
  for (const auto& probe : group_by(all_findings(run), probe_name))
    out += fmt::format("- probe {}: {} comparisons\n", code(probe.name),
                       grouped(static_cast<int64_t>(probe.findings.size())));
  out +=
      "\nA cell of the tables below is the worst bound ratio, max |error| / bound: at most 1 passes. Bounds "
      "are computed, "
      "element by element, from the arithmetic that each kernel declares (its contract) and from the "
      "operands themselves. `✗`: "
      "out of bound, `?`: no verdict, `·`: nothing planned.\n\n";
  out += identity_table(run);
  out += row_of({"arm", "settings", "verdict", "expected"}) + row_of({"---", "---", "---", "---"});
  for (const auto& arm : run.arms) {
    Message why;
    const bool met = outcome_of(run, arm, &why) == Status::pass;
    out += row_of({code(arm.name), code(arm.settings),
                   upper_name(probes::worse(arm.status, conclude_arm(run, arm.name))),
                   !arm.expect.any() ? "—"
                   : met             ? arm.expect.text().text() + ": came so"
                                     : escaped(why)});
  }
  return out + "\n" + controls_table(run);
}

std::string stage_tables(const Group& probe) {
  std::string out;
  const auto stages = select(probe.findings, [](const Finding& f) { return !is_weight(f); });
  if (all_zero(stages))
    return fmt::format("0 in all {} comparisons.\n\n", grouped(static_cast<int64_t>(stages.size())));
  for (const auto& arm : group_by(stages, [](const Finding& f) { return f.arm; }))
    for (const auto& at : group_by(arm.findings, case_name))
      out += fmt::format("#### arm {}, {}\n\n", code(arm.name), escaped(at.name)) +
             grid_text(stage_by_layer(at.findings, INT_MAX), "stage \\ layer");
  return out;
}

std::string weights_table(const RunResult& run) {
  const auto weights = select(all_findings(run), is_weight);
  if (weights.empty()) return {};
  std::string out = "### Weights, as the engine unpacks them\n\n";
  out += row_of({"weight", "arm", "worst bound ratio", "verdict"}) + row_of({"---", "---", "---:", "---"});
  for (const auto* finding : weights)
    out += row_of({code(finding->stage.substr(sizeof("weight/") - 1)), escaped(finding->arm),
                   ratio_text(finding->metrics.bound_ratio), upper_name(status_of(*finding))});
  return out + "\n";
}

std::string points_table(const std::string& corner, const std::vector<Drift::Point>& points,
                         const std::optional<double>& logits = {}) {
  std::vector<std::string> names = {corner}, rule = {"---"}, ratios = {"worst bound ratio"};
  for (const auto& point : points) {
    names.push_back(point.at());
    rule.emplace_back("---:");
    ratios.push_back(ratio_text(point.ratio));
  }
  if (logits) {
    names.emplace_back("logits");
    rule.emplace_back("---:");
    ratios.push_back(ratio_text(*logits));
  }
  return row_of(names) + row_of(rule) + row_of(ratios) + "\n";
}

std::string drift_text(const RunResult& run) {
  const Drift drift = drift_of(run);
  if (drift.empty()) return {};
  std::string out = "### Drift and bias\n\n";
  if (!drift.by_position.empty()) {
    out +=
        "Chained mode: the distance from a reference that runs from the tokens on, in its noise "
        "envelopes.\n\n" +
        points_table("after layer", drift.by_layer, drift.logits) +
        points_table("at position", drift.by_position);
  }
  if (drift.bias.empty()) return out;
  out +=
      "Local mode: the z-score of the mean signed error over all tensors of a stage, in the arm where it is "
      "largest. Independent roundings give a number of a few; a sum that truncates, or a factor that is off "
      "within every bound (`qk`: 1/√Dh, rounded once, is one), gives one that grows with the run.\n\n" +
      row_of({"stage", "z", "arm", "tensors"}) + row_of({"---", "---:", "---", "---:"});
  for (const auto& bias : drift.bias)
    out += row_of({code(bias.stage), z_text(bias.z), escaped(bias.arm), grouped(bias.findings)});
  return out + "\n";
}

std::string finding_text(const RunResult& run, const Finding& finding) {
  std::string out = fmt::format("- {} {}\n", upper_name(status_of(finding)), code(finding.key()));
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  - {}: {}\n", name, value);
  };
  add("says", escaped(finding.message));
  if (finding.metrics.count > 0) {
    add("worst element", worst_element(finding));
    add("out of bound",
        fmt::format("{} of {} elements, {} beyond the certain bound", grouped(finding.metrics.out_of_bound),
                    grouped(finding.metrics.count), grouped(finding.metrics.out_of_certain)));
  }
  add("bound", escaped(finding.reason));
  add("kernel", code(finding.kernel));
  add("contract", code(finding.contract));
  add("rerun", code(rerun_command(run, finding)));
  return out;
}

// The first of each arm in full; all of them are in verdicts.json.
std::string failures_text(const RunResult& run) {
  constexpr size_t kShown = 20;
  std::string out;
  for (const auto& arm : run.arms) {
    const auto bad = select(all_findings(run), [&](const Finding& f) {
      return f.arm == arm.name && status_of(f) != Status::pass;
    });
    if (bad.empty()) continue;
    out += fmt::format("### Not passed in arm {}\n\n", code(arm.name));
    for (size_t i = 0; i < std::min(bad.size(), kShown); ++i) out += finding_text(run, *bad[i]);
    if (bad.size() > kShown) out += fmt::format("- and {} more, in verdicts.json\n", bad.size() - kShown);
    out += "\n";
  }
  const auto notes = select(
      all_findings(run), [](const Finding& f) { return status_of(f) == Status::pass && !f.message.empty(); });
  if (notes.empty()) return out;
  out += "### Notes\n\n";
  for (const auto* note : notes) out += fmt::format("- {}: {}\n", code(note->key()), escaped(note->message));
  return out + "\n";
}

std::string trials_text(const std::vector<probes::Trial>& trials) {
  constexpr size_t kShown = 6;
  std::string out;
  for (size_t i = 0; i < std::min(trials.size(), kShown); ++i) {
    const auto& trial = trials[i];
    const std::string ratio = trial.applies ? "ratio " + ratio_text(trial.ratio) : "";
    const std::string between = ratio.empty() || trial.note.empty() ? "" : ": ";
    out += fmt::format("{}{} ({}{}{})", out.empty() ? "" : ", ", code(trial.text()), ratio, between,
                       escaped(trial.note));
  }
  return trials.size() > kShown ? out + fmt::format(", and {} more", trials.size() - kShown) : out;
}

std::string explanation_text(const probes::Explanation& e) {
  std::string out = fmt::format("- arm {}, {}: **{}**. {}\n", code(e.arm), code(e.stage), name_of(e.answer),
                                escaped(e.conclusion()));
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  - {}: {}\n", name, value);
  };
  add("fails in", escaped(e.scope));
  for (const auto& trial : e.fitting)
    for (const auto& cause : trial.causes)
      add("seen", code(cause) + ": " + escaped(std::string(find_cause(cause).seen)));
  add("excluded", trials_text(e.excluded));
  add("not tested", trials_text(e.not_applicable));
  add("note", escaped(e.note));
  add("findings", fmt::format("{}, the first of them {}", e.places.size(),
                              e.places.empty() ? "" : code(e.places.front())));
  if (!e.consequences.empty())
    add("behind it", fmt::format("{} findings, the first of them {}", e.consequences.size(),
                                 code(e.consequences.front())));
  return out;
}

std::string explanations_text(const RunResult& run) {
  if (run.explanations.empty()) return {};
  std::string out =
      "### Explanations\n\nA known cause explains a stage when what it predicts is within its own error "
      "bound in "
      "every tensor that fails; the smaller of two misfits explains nothing.\n\n";
  for (const auto& explanation : run.explanations) out += explanation_text(explanation);
  return out + "\n";
}

std::string results_text(const RunResult& run) {
  std::string out = "## Results\n\n";
  if (run.findings.empty()) return out + "None: no probe found anything to say.\n\n";
  out += "### By probe\n\n" + grid_text(by_arm(run, probe_name), "probe \\ arm");
  out += "### By prompt and phase\n\n" + grid_text(by_arm(run, case_name), "case \\ arm");
  if (!run.models.empty()) out += "### Arms and prompts\n\n" + grid_text(arm_by_prompt(run), "arm \\ prompt");
  for (const auto& probe : group_by(all_findings(run), probe_name))
    if (has_stages(probe.findings)) out += "### " + escaped(probe.name) + "\n\n" + stage_tables(probe);
  return out + weights_table(run) + drift_text(run) + explanations_text(run) + failures_text(run);
}

std::string conclusion_text(const RunResult& run) {
  const int64_t fails = count_of(run, Status::fail);
  const bool any_local = std::any_of(run.findings.begin(), run.findings.end(), [](const Finding& f) {
    return f.mode == "local" && status_of(f) == Status::fail;
  });
  switch (verdict_of(run)) {
    case Status::pass:
      return fmt::format(
          "All {} findings over all {} planned tensors are within their bounds: on this model, these prompts "
          "and this device, "
          "the engine computes what its kernels declare.\n",
          grouped(static_cast<int64_t>(run.findings.size())), grouped(run.planned));
    case Status::fail:
      return fmt::format(
          "The engine does not compute what its kernels declare: {} of {} findings fail.{}\n", grouped(fails),
          grouped(static_cast<int64_t>(run.findings.size())),
          any_local
              ? " A stage that fails in local mode was judged from the engine's own inputs to it, so the "
                "first of an arm is where it goes wrong."
              : "");
    case Status::invalid:
      break;
  }
  return fmt::format(
      "There is no verdict: a control failed or evidence is missing (see the executive summary). Nothing "
      "follows "
      "for the engine from the {} findings that fail or from those that pass.\n",
      grouped(fails));
}

std::string next_step_text(const RunResult& run) {
  for (const auto& arm : run.arms) {
    const Finding* first = first_failing(run, arm);
    if (!first || verdict_of(run) != Status::fail) continue;
    std::string out = fmt::format("Look at {} in arm {}",
                                  code(first->stage.empty() ? first->probe : first->stage), code(arm.name));
    if (!first->kernel.empty()) out += fmt::format(", computed by {}", code(first->kernel));
    return out + ". Run it again alone:\n\n```\n" + rerun_command(run, *first) + "\n```\n";
  }
  const std::string again = run.rerun.empty() ? "" : "\n\n```\n" + run.rerun + "\n```\n";
  if (verdict_of(run) == Status::pass) return "None is needed. To reproduce:" + again;
  return "Remove the reasons listed in the executive summary and run again:" + again;
}

}  // namespace

std::string markdown_report(const RunResult& run) {
  return fmt::format("# {}: {}\n\n", escaped(run.title.empty() ? "run" : run.title),
                     upper_name(verdict_of(run))) +
         summary_text(run) + method_text(run) + results_text(run) + "## Conclusion\n\n" +
         conclusion_text(run) + "\n## Next step\n\n" + next_step_text(run);
}

void write_markdown(const RunResult& run, const std::string& path) {
  write_atomically(path, markdown_report(run));
}

}  // namespace greta::reports
