#include "suites/selftest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/prompts.hpp"
#include "datasets/synthesise.hpp"
#include "datasets/tokenizer.hpp"
#include "engine/faults/fault.hpp"
#include "probes/usual_rules.hpp"
#include "suites/clean_runs.hpp"
#include "suites/held_case.hpp"
#include "suites/interrupt.hpp"
#include "suites/phases.hpp"
#include "suites/runner.hpp"

namespace greta::suites {
namespace {

using engine::Fault;
using probes::Finding;
using probes::Status;
using reports::SelftestCell;
using reports::SelftestFault;
using reports::SelftestResult;

// Two prompts take the automatic choice, the matrix cores in prefill and the vector units in decode; the
// others, the long one among them, the route that is fast on the host machine.
// The probes that cost a second engine run or the chained reference are there for the faults that only they
// can see.
Suite suite_with(const SelftestOptions& options, const std::vector<std::string>& prompts,
                 const std::string& fault, bool repeats, bool coherence) {
  Suite suite;
  suite.path = "selftest";
  suite.title = "selftest";
  suite.seed = options.seed;
  suite.prompts = prompts;
  suite.phases = {"prefill", "decode0", "decode1"};
  for (Arm arm : {Arm{.name = "auto", .prompts = {"p0_short", "p5_ba"}},
                  Arm{.name = "valu", .unit = "valu", .prompts = {"p4_sys", "p6_long"}}}) {
    std::erase_if(arm.prompts, [&](const auto& prompt) {
      return std::find(prompts.begin(), prompts.end(), prompt) == prompts.end();
    });
    if (!fault.empty()) arm.faults = {fault};
    for (const auto& [setting, value] : options.engine) arm.set(setting, value);
    if (!arm.prompts.empty()) suite.arms.push_back(arm);
  }
  suite.probes = {{.use = "stage_parity", .options = {{"mode", "local"}}}, {.use = "usual_rules"}};
  if (repeats) suite.probes.push_back({.use = "determinism"});
  if (coherence) suite.probes.push_back({.use = "top1_coherence"});
  return suite;
}

RunOptions run_options(const SelftestOptions& options) {
  return {.model_path = options.model_path,
          .out_dir = options.scratch_dir,
          .command_line = "greta selftest",
          .devices = {options.device},
          .keep_trace = false};
}

// The calls that fill a cache belong to the decode that reads it.
std::string phase_group(const Finding& finding) {
  return finding.prompt == "weights" ? "load" : finding.phase.starts_with("prefill") ? "prefill" : "decode";
}

std::set<std::string> rules_of(const Finding& finding) {
  std::set<std::string> out;
  if (finding.probe != "usual_rules") return out;
  const std::string message = finding.message.text();
  for (const auto rule : probes::kUsualRules)
    if (message.find(rule) != std::string::npos) out.emplace(rule);
  return out;
}

class Planter {
 public:
  Planter(const SelftestOptions& options, SelftestResult& result) : options_(options), result_(result) {
    const GgufFile file = GgufFile::open(options.model_path);
    const auto tokenizer = Tokenizer::from(file);
    const int64_t context = reference::Model(file).config().context;
    for (const char* name : {"p0_short", "p4_sys", "p5_ba", "p6_long"}) {
      const auto tokens = static_cast<int64_t>(load_prompt(name, *tokenizer).tokens.size());
      if (tokens < context)  // decode1 needs one more
        prompts_.emplace_back(name);
      else
        result_.left_out.push_back(
            fmt::format("prompt {}: {} tokens do not fit the context of {}", name, tokens, context));
    }
    if (prompts_.empty()) fail_input("no prompt fits the model's context of {}", context);
  }

  void clean_run() {
    const auto run = suites::run(suite_with(options_, prompts_, "", true, true), run_options(options_));
    if (run.status != Status::pass)
      fail_invalid("the run without a fault is no PASS: {}; faults cannot be told from that",
                   first_trouble(run));
    result_.identify(run.identity);
    for (const auto& finding : run.findings) {
      if (finding.probe != "usual_rules") continue;
      ++result_.clean_tensors;
      const auto refused = rules_of(finding);
      for (const auto& rule : refused) ++result_.rule_false_alarms[rule];
      refused_when_clean_[finding.key()] = refused;
    }
  }

  SelftestFault plant(const std::string& text) {
    const Fault fault = Fault::parse(text);
    SelftestFault out{.fault = text, .cause = fault.cause->text()};
    for (const Stage stage : fault.stages)
      out.stages += (out.stages.empty() ? "" : " ") + std::string(name_of(stage));
    if (fault.cause->breaks_weights()) out.stages = "weight/" + fault.weight;
    try {
      strikes_.clear();
      RunOptions how = run_options(options_);
      how.on_strike = [this](Stage stage, int, int64_t start, int64_t rows) {
        strikes_.insert({std::string(name_of(stage)), start, rows});
      };
      const auto run =
          suites::run(suite_with(options_, prompts_, text, fault.is("barrier"), fault.is("host_copy")), how);
      if (!run.interrupted.empty()) out.trouble = run.interrupted.text();
      cells(run, fault, out);
      answer(run, out);
    } catch (const Error& error) {
      out.trouble = error.what();
    }
    return out;
  }

 private:
  static std::string first_trouble(const reports::RunResult& run) {
    for (const auto& finding : run.findings)
      if (finding.status != Status::pass) return finding.key() + ": " + finding.message.text();
    const auto reasons = reports::invalid_reasons(run);
    return (reasons.empty() ? run.interrupted : reasons.front()).text();
  }

  void cells(const reports::RunResult& run, const Fault& fault, SelftestFault& out) const {
    std::map<std::pair<std::string, std::string>, std::vector<const Finding*>> groups;
    for (const auto& finding : run.findings)
      groups[{finding.prompt, phase_group(finding)}].push_back(&finding);
    for (const auto& [place, findings] : groups) {
      SelftestCell cell{.prompt = place.first, .phase = place.second};
      for (const Finding* finding : findings) {
        cell.active |= at_work(run, fault, *finding);
        if (finding->probe == "usual_rules") {
          const auto refused_before = refused_when_clean_.find(finding->key());
          for (const auto& rule : rules_of(*finding))
            if (refused_before == refused_when_clean_.end() || !refused_before->second.contains(rule))
              cell.refused_by.insert(rule);
          continue;
        }
        if (finding->status == Status::pass || cell.detected) continue;
        cell.detected = true;
        cell.first = finding->stage;
        cell.localised = finding->status == Status::fail &&
                         (struck(fault, *finding) || of_another_prefill(fault, *finding));
      }
      if (place.first != "weights" || fault.cause->breaks_weights()) out.cells.push_back(std::move(cell));
    }
  }

  // Whether the fault spoiled the very launch that this finding judges.
  bool at_work(const reports::RunResult& run, const Fault& fault, const Finding& finding) const {
    if (fault.cause->breaks_weights()) return struck(fault, finding);
    if (fault.is("host_copy")) return finding.stage == "logits";
    const auto& prompts = run.identity.prompt_tokens;
    const auto prompt = prompts.find(finding.prompt);
    if (prompt == prompts.end()) return false;
    const auto tokens = static_cast<int64_t>(prompt->second.size());
    const int decode = decode_index(finding.phase);
    const int64_t start = decode >= 0 ? tokens - 1 + decode : 0;
    const int64_t rows = decode >= 0 ? 1 : finding.phase == "prefill" ? tokens : tokens - 1;
    return strikes_.contains({finding.stage, start, rows});
  }

  // A race has another outcome each time. A decode call's cache was written by a prefill that raced once
  // more, so where the call's own one row did not race, its cache is the first to differ.
  static bool of_another_prefill(const Fault& fault, const Finding& finding) {
    return fault.is("barrier") && decode_index(finding.phase) >= 0 &&
           (finding.stage == "k_cache" || finding.stage == "v_cache");
  }

  // A wrong weight is seen in the weight itself, and in the stages that multiply with it.
  static bool struck(const Fault& fault, const Finding& finding) {
    if (!fault.cause->breaks_weights())
      return std::any_of(fault.stages.begin(), fault.stages.end(),
                         [&](Stage stage) { return name_of(stage) == finding.stage; });
    if (finding.stage.starts_with("weight/")) return fault.strikes_weight(finding.stage.substr(7));
    static const std::map<std::string, std::string, std::less<>> users = {
        {"embed", "token_embd"}, {"q", "attn_q"},          {"k", "attn_k"},
        {"v", "attn_v"},         {"wo", "attn_output"},    {"ffn_gate", "ffn_gate"},
        {"ffn_up", "ffn_up"},    {"ffn_down", "ffn_down"}, {"logits", "output"}};
    const auto user = users.find(finding.stage);
    return user != users.end() && (fault.weight.empty() || user->second == fault.weight);
  }

  // Both arms, all stages that were struck: what fits everywhere.
  static void answer(const reports::RunResult& run, SelftestFault& out) {
    std::set<std::string> fitting;
    bool first = true, unexplained = false;
    out.margin = std::numeric_limits<double>::infinity();
    for (const auto& explanation : run.explanations) {
      std::set<std::string> own;
      for (const auto& trial : explanation.fitting) own.insert(trial.text());
      unexplained |= own.empty();
      std::set<std::string> both;
      std::set_intersection(own.begin(), own.end(), fitting.begin(), fitting.end(),
                            std::inserter(both, both.end()));
      fitting = first ? own : both;
      first = false;
      out.margin = std::min(out.margin, explanation.margin());
      if (out.tells.empty()) out.tells = explanation.tells.text();
      if (out.conclusion.empty()) out.conclusion = explanation.conclusion().text();
    }
    out.causes.assign(fitting.begin(), fitting.end());
    out.answer = unexplained || fitting.empty() ? probes::Answer::unexplained
                 : fitting.size() == 1          ? probes::Answer::explained
                                                : probes::Answer::indistinguishable;
    if (out.answer == probes::Answer::explained) out.tells.clear();
  }

  const SelftestOptions& options_;
  SelftestResult& result_;
  std::vector<std::string> prompts_;
  std::map<std::string, std::set<std::string>> refused_when_clean_;  // finding key -> usual rules
  std::set<std::tuple<std::string, int64_t, int64_t>> strikes_;      // stage, start, rows of the last run
};

std::vector<reports::SelftestSmallest> smallest_changes(const SelftestOptions& options) {
  HeldCase held(options.model_path, sensitivity_suite("p5_ba"), options.device);
  std::vector<reports::SelftestSmallest> out;
  for (const auto& row : sensitivity(held, options.seed))
    for (const auto& found : {row.prefill, row.decode0})
      out.push_back({.stage = std::string(name_of(found.place.stage)),
                     .phase = found.place.phase,
                     .change = found.change,
                     .share = found.share()});
  return out;
}

// A weight that has the type which a cause is about.
std::string weight_for(const Cause& cause, const GgufFile& file, std::mt19937_64& random) {
  std::vector<std::string> parts;
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
                           "token_embd", "output"}) {
    const bool right =
        std::any_of(file.tensors().begin(), file.tensors().end(), [&](const GgufTensor& tensor) {
          const std::string_view name = tensor.name;
          const bool named = std::string_view(part) == "output" ? name == "output.weight"
                                                                : name.find(part) != std::string_view::npos;
          if (!named) return false;
          if (cause.name.starts_with("q4_k")) return tensor.type == GgmlType::Q4_K;
          if (cause.name.starts_with("q6_k")) return tensor.type == GgmlType::Q6_K;
          if (cause.name == "load_layout") return tensor.rows() != tensor.columns();
          if (cause.name == "block_scale" && tensor.columns() < 512)
            return false;  // a row of one block has no neighbour
          return tensor.type != GgmlType::F32 && tensor.type != GgmlType::F16 &&
                 tensor.type != GgmlType::BF16;
        });
    if (right) parts.emplace_back(part);
  }
  return parts.empty() ? "" : parts[random() % parts.size()];
}

}  // namespace

std::vector<std::string> selftest_faults(const SelftestOptions& options, std::vector<std::string>& left_out) {
  if (!options.faults.empty()) return options.faults;
  const GgufFile file = GgufFile::open(options.model_path);
  std::mt19937_64 random(options.seed);
  std::vector<std::string> out;
  for (const Cause& cause : causes()) {
    if (cause.breaks_weights()) {
      const auto weight = weight_for(cause, file, random);
      if (weight.empty())
        left_out.push_back(cause.text() + ": the model has no weight of that type");
      else
        out.push_back(weight + "." + cause.text());
      continue;
    }
    if (cause.name == "softmax_max") {
      // Right as long as e^x does not overflow: no fault of a model whose scores are as small as a trained
      // one's.
      left_out.push_back(cause.text() +
                         ": right where no score reaches 88.7 (faults_test plants it where one does)");
      continue;
    }
    if (cause.stages.empty()) {
      left_out.push_back(cause.text() + ": breaks no stage; the control `route` refuses it, not a probe");
      continue;
    }
    std::vector<std::string> broken;
    for (const auto& row : stages())
      if (cause.breaks(row.stage)) broken.emplace_back(row.name);
    if (options.every_stage)
      for (const auto& stage : broken) out.push_back(stage + "." + cause.text());
    else
      out.push_back(broken[random() % broken.size()] + "." + cause.text());
  }
  return out;
}

SelftestResult selftest(const SelftestOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& fault : options.faults)
    if (Fault::parse(fault).cause->stages.empty())
      fail_usage(
          "the self-test cannot plant {}: it breaks no stage, so no probe sees it; the control `route` does "
          "(suites/b3_31.toml)",
          fault);
  const InterruptGuard guard;
  SelftestResult result;
  result.seed = options.seed;
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto tell = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  const bool plant = options.clean == 0 || !options.faults.empty();
  try {
    if (plant) {
      Planter planter(options, result);
      planter.clean_run();
      const auto faults = selftest_faults(options, result.left_out);
      for (size_t i = 0; i < faults.size(); ++i) {
        InterruptGuard::check();
        result.faults.push_back(planter.plant(faults[i]));
        tell(fmt::format("{:>3} of {}  {:5.0f} s  {}", i + 1, faults.size(), seconds(), faults[i]));
      }
      if (options.faults.empty()) result.smallest = smallest_changes(options);
    }
    run_clean(options, result, tell);
  } catch (const std::exception& error) {
    result.interrupted = error.what();
  }
  result.seconds = seconds();
  return result;
}

}  // namespace greta::suites
