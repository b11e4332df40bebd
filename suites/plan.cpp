#include "suites/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "datasets/error.hpp"
#include "probes/chunks.hpp"
#include "suites/phases.hpp"

namespace greta::suites {
namespace {

using probes::Place;

bool by_call(const std::string& a, const std::string& b) { return order_of_phase(a) < order_of_phase(b); }

void require_fit(const Prompt& prompt, int64_t context) {
  if (prompt.tokens.empty()) fail_input("prompt {} has no tokens; give at least one", prompt.id);
  const auto count = static_cast<int64_t>(prompt.tokens.size());
  if (count > context)
    fail_input("prompt {} has {} tokens, but the model's context holds {}; give a shorter one with --prompt",
               prompt.id, count, context);
}

// The suite's phases for one prompt: those that need room for more tokens are errors, unless asked for
// `if_room`.
std::vector<std::string> phases_for(const Suite& suite, const Prompt& prompt, int64_t context) {
  const auto fits = [&](const std::string& phase) {
    return static_cast<int64_t>(prompt.tokens.size()) + std::max(decode_index(phase), 0) <= context;
  };
  for (const auto& phase : suite.phases)
    if (!fits(phase))
      fail_usage(
          "{} of prompt {} is beyond the model's context of {} positions; leave it out, or list it under "
          "phases_if_room",
          phase, prompt.id, context);
  std::vector<std::string> out = suite.phases;
  for (const auto& phase : suite.phases_if_room)
    if (fits(phase) && std::find(out.begin(), out.end(), phase) == out.end()) out.push_back(phase);
  std::sort(out.begin(), out.end(), by_call);
  return out;
}

std::vector<Stage> stages_for(const PlannedProbe& probe, const ProbeUse& use) {
  std::vector<Stage> out;
  for (const auto& row : stages()) {
    const bool asked =
        use.stages.empty() || std::find(use.stages.begin(), use.stages.end(), row.name) != use.stages.end();
    const auto& of_probe = probe.needs.stages;
    const bool taken =
        of_probe.empty() || std::find(of_probe.begin(), of_probe.end(), row.stage) != of_probe.end();
    if (asked && taken) out.push_back(row.stage);
  }
  if (out.empty())
    fail_usage("probe {} does not look at any of the stages that the suite gives it; leave its `stages` out",
               use.use);
  return out;
}

class Expander {
 public:
  Expander(const Suite& suite, const reference::Config& config, Plan& plan, std::string_view only)
      : suite_(suite), config_(config), plan_(plan), only_(only) {
    const auto count = static_cast<int>(config.layers);
    std::set<int> named;
    for (const int layer : suite.layers) {
      if (layer >= count || layer < -count)
        fail_usage("{}layer {} is not in the model, which has layers 0 to {} (from the end: -1 to -{})",
                   suite.set_by("layers"), layer, count - 1, count);
      if (!named.insert(layer < 0 ? layer + count : layer).second)
        fail_usage("{}layers names layer {} of {} twice", suite.set_by("layers"), layer, count);
    }
    for (int layer = 0; layer < count; ++layer)
      if (named.empty() || named.contains(layer)) layers_.push_back(layer);
  }

  Case expand(const Prompt& prompt, const Arm& arm) {
    Case out{.prompt = prompt, .arm = arm};
    case_ = &out;
    const auto phases = phases_for(suite_, prompt, config_.context);
    for (size_t p = 0; p < plan_.probes.size(); ++p) {
      out.expected.push_back(places(plan_.probes[p], suite_.probes[p], phases));
      demand(plan_.probes[p], out.expected.back());
    }
    passes();
    for (const auto& place : wanted_) add_tensor(place);
    wanted_.clear();
    return out;
  }

 private:
  std::vector<Place> places(const PlannedProbe& probe, const ProbeUse& use,
                            const std::vector<std::string>& suite_phases) {
    std::vector<Place> out;
    const bool named = !use.stages.empty() || !probe.needs.stages.empty();
    const auto add = [&](Place place) {
      if (matches(only_, key(probe, place))) out.push_back(std::move(place));
    };
    const auto judged = judged_stages(probe, use);
    for (const auto& phase : probe.needs.phases.empty() ? suite_phases : probe.needs.phases)
      for (const Stage stage : judged) {
        if (info(stage).per_layer)
          for (const int layer : layers_) add({phase, layer, stage});
        else if (named || suite_.layers.empty())
          add({phase, -1, stage});
      }
    return out;
  }

  // Less what the arm's engine does not have; a probe that asks for such a stage by name is an error.
  std::vector<Stage> judged_stages(const PlannedProbe& probe, const ProbeUse& use) const {
    const Arm& arm = case_->arm;
    const auto refuse = [&](Stage stage) {
      fail_usage(
          "probe {} asks for {}, and arm '{}' with attention=fused has no qk, softmax and pv; leave the "
          "probe "
          "or the stage out, or run the arm with attention=unfused",
          use.use, name_of(stage), arm.name);
    };
    for (const auto& name : use.stages)
      if (arm.lacks(parse_stage(name))) refuse(parse_stage(name));
    for (const auto& stages : {probe.needs.stages, probe.needs.reads})
      for (const Stage stage : stages)
        if (arm.lacks(stage)) refuse(stage);
    auto out = stages_for(probe, use);
    std::erase_if(out, [&](Stage stage) { return arm.lacks(stage); });
    return out;
  }

  // What fused attention is judged from is not what its unfused copy is.
  std::vector<reference::OperandRef> operands(const Place& place) const {
    const bool fused = place.stage == Stage::attn_out && case_->arm.lacks(Stage::pv);
    return reference::operands_of(place.stage, place.layer, fused ? "attention" : "");
  }

  std::string key(const PlannedProbe& probe, const Place& place) const {
    probes::Finding finding;
    finding.probe = probe.entry->name;
    finding.mode = probe.mode;
    finding.prompt = case_->prompt.id;
    finding.arm = case_->arm.name;
    finding.phase = place.phase;
    finding.layer = place.layer;
    finding.stage = name_of(place.stage);
    return finding.key();
  }

  // What a probe's findings rest on.
  void demand(const PlannedProbe& probe, const std::vector<Place>& expected) {
    if (expected.empty()) return;
    const auto& needs = probe.needs;
    case_->chained |= needs.chained;
    case_->repeats |= needs.repeats;
    case_->untapped |= needs.untapped;
    case_->selections |= needs.selections;
    case_->proofs |= needs.proofs;
    want_chunks(needs.chunks, expected);
    for (const auto& place : expected) {
      want(place, needs);
      for (const auto& phase : needs.also) want({phase, place.layer, place.stage}, needs);
      for (const Stage stage : needs.reads) wanted_.insert({place.phase, place.layer, stage});
      if (needs.operands)
        for (const auto& ref : operands(place))
          wanted_.insert(probes::place_of(ref, place.phase, config_.layers));
    }
  }

  // What is judged of the whole prompt, of each chunk of it.
  void want_chunks(const std::vector<int64_t>& sizes, const std::vector<Place>& expected) {
    for (const int64_t size : sizes) {
      if (std::find(case_->chunks.begin(), case_->chunks.end(), size) == case_->chunks.end())
        case_->chunks.push_back(size);
      const auto calls = probes::chunk_calls(static_cast<int64_t>(case_->prompt.tokens.size()), size);
      for (const auto& call : calls)
        for (const auto& place : expected) wanted_.insert({call.name(), place.layer, place.stage});
      if (!calls.empty()) case_->chained_phases.insert(calls.back().name());
    }
  }

  void want(const Place& place, const probes::Needs& needs) {
    wanted_.insert(place);
    phases_.insert(place.phase);
    if (!needs.chained) return;
    case_->chained_phases.insert(place.phase);
    case_->chained_steps = std::max(case_->chained_steps, step_of(place, config_.layers));
  }

  // Which passes have to run, and the rows behind the cache that they leave.
  void passes() {
    for (const auto& phase : phases_) {
      case_->phases.push_back(phase);
      case_->prefill |= phase == "prefill" || phase == "prefill_last";
      case_->stepwise |= phase == "decode0_stepwise";
      case_->decodes = std::max(case_->decodes, decode_index(phase) + 1);
    }
    case_->decode = case_->decodes > 0;
    std::sort(case_->phases.begin(), case_->phases.end(), by_call);
    phases_.clear();
    std::vector<std::string> writers;
    if (case_->prefill && case_->has("prefill_last")) writers.push_back("prefill");
    if (case_->prompt.tokens.size() > 1 && case_->decode) writers.push_back("fill_prefill");
    if (case_->prompt.tokens.size() > 1 && case_->stepwise) writers.push_back("fill_stepwise");
    for (int i = 0; i + 1 < case_->decodes; ++i) writers.push_back(decode_name(i));
    for (const auto& phase : writers)
      for (const int layer : layers_)
        for (const Stage stage : {Stage::k_rope, Stage::v}) wanted_.insert({phase, layer, stage});
    want_layer_zero(writers);
    if (case_->has("prefill_last")) {  // a row of prefill
      std::set<Place> whole;
      for (const auto& place : wanted_)
        if (place.phase == "prefill_last") whole.insert({"prefill", place.layer, place.stage});
      wanted_.merge(whole);
    }
  }

  // What layer 0 wrote to its cache: a cache that is wrong may hold that (layer_base=0), whatever layers the
  // suite looks at.
  void want_layer_zero(const std::vector<std::string>& writers) {
    const bool cache = std::any_of(wanted_.begin(), wanted_.end(),
                                   [](const Place& place) { return probes::over_cache(place.stage); });
    if (!cache || suite_.layers.empty()) return;
    for (const auto& phases : {writers, case_->phases})
      for (const auto& phase : phases)
        for (const Stage stage : {Stage::k_rope, Stage::v}) wanted_.insert({phase, 0, stage});
  }

  void add_tensor(const Place& place) {
    const auto S = static_cast<int64_t>(case_->prompt.tokens.size());
    const int step = decode_index(place.phase);
    StageSizes sizes = config_.sizes(1, S);
    if (place.phase == "prefill") sizes = config_.sizes(S, S);
    if (place.phase.starts_with("fill_")) sizes = config_.sizes(S - 1, S - 1);
    if (step > 0) sizes = config_.sizes(1, S + step);
    if (const auto chunk = probes::parse_chunk(place.phase))
      sizes = config_.sizes(chunk->rows(S), chunk->start() + chunk->rows(S));
    case_->tensors.emplace(place, shape_of(place.stage, sizes));
  }

  const Suite& suite_;
  const reference::Config& config_;
  Plan& plan_;
  std::string_view only_;
  std::vector<int> layers_;
  Case* case_ = nullptr;
  std::set<Place> wanted_;
  std::set<std::string> phases_;
};

// An arm's own list of prompts holds as long as the suite's prompts are those of its file: where the command
// line has replaced them, every arm takes all.
bool takes(const Arm& arm, const Suite& suite, const std::string& prompt) {
  const auto listed = [&](const std::string& spec) {
    return std::find(arm.prompts.begin(), arm.prompts.end(), spec) != arm.prompts.end();
  };
  return listed(prompt) || std::none_of(suite.prompts.begin(), suite.prompts.end(), listed);
}

// Options are held against the model before anything runs.
void fit(const Suite& suite, const ProbeUse& use, const PlannedProbe& probe,
         const reference::Config& config) {
  try {
    probe.entry->fit(probe.options, config);
  } catch (const Error& error) {
    std::string by;
    for (const auto& [name, value] : use.options) by = by.empty() ? suite.set_by(name) : by;
    throw Error(error.code(), by + error.what());
  }
}

void plan_weights(Plan& plan, const Suite& suite, const std::vector<std::string>& weights,
                  std::string_view only) {
  for (const auto& arm : suite.arms) {
    auto& rows = plan.weights[arm.name];
    for (size_t p = 0; p < plan.probes.size(); ++p) {
      auto& row = rows.emplace_back();
      const auto& probe = plan.probes[p];
      if (!probe.needs.weights || !suite.probes[p].stages.empty()) continue;
      for (const auto& name : weights) {
        probes::Finding finding{.probe = probe.entry->name,
                                .mode = probe.mode,
                                .prompt = "weights",
                                .arm = arm.name,
                                .stage = "weight/" + name};
        if (matches(only, finding.key())) row.push_back(name);
      }
    }
  }
}

void count(Plan& plan) {
  for (const auto& item : plan.cases) {
    plan.findings += item.findings();
    std::set<Place> judged;
    for (const auto& row : item.expected) judged.insert(row.begin(), row.end());
    plan.tensors += static_cast<int64_t>(judged.size());
    const auto needed = static_cast<int>(item.prompt.tokens.size()) + std::max(item.decodes - 1, 0);
    plan.positions = std::max(plan.positions, needed);
  }
  for (const auto& [arm, rows] : plan.weights) {
    std::set<std::string> judged;  // two probes may look at the same weight
    for (const auto& row : rows) {
      plan.findings += static_cast<int64_t>(row.size());
      judged.insert(row.begin(), row.end());
    }
    plan.tensors += static_cast<int64_t>(judged.size());
  }
}

}  // namespace

bool Case::has(std::string_view phase) const {
  return std::find(phases.begin(), phases.end(), phase) != phases.end();
}

int64_t Case::findings() const {
  int64_t sum = 0;
  for (const auto& row : expected) sum += static_cast<int64_t>(row.size());
  return sum;
}

int step_of(const Place& place, int64_t layers) {
  if (info(place.stage).per_layer) return place.layer + 1;
  return place.stage == Stage::embed ? 0 : static_cast<int>(layers) + 1;
}

Plan make_plan(const Suite& suite, const reference::Config& config, const std::vector<Prompt>& prompts,
               const std::vector<std::string>& weights, std::string_view only) {
  for (const auto& prompt : prompts) require_fit(prompt, config.context);
  Plan plan;
  for (const auto& use : suite.probes) {
    PlannedProbe probe;
    probe.entry = &probes::find_probe(use.use);
    probe.options = probes::complete_options(*probe.entry, use.options);
    probe.needs = probe.entry->needs(probe.options);
    for (const auto& option : probe.entry->options)
      if (option.name == "mode" || option.in_key) probe.mode = probe.options.at(std::string(option.name));
    fit(suite, use, probe, config);
    plan.probes.push_back(std::move(probe));
  }
  plan.phases = suite.phases;
  plan.phases.insert(plan.phases.end(), suite.phases_if_room.begin(), suite.phases_if_room.end());
  std::sort(plan.phases.begin(), plan.phases.end(), by_call);
  Expander expander(suite, config, plan, only);
  for (const auto& arm : suite.arms)
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (!takes(arm, suite, suite.prompts[i])) continue;
      Case expanded = expander.expand(prompts[i], arm);
      if (expanded.findings() > 0) plan.cases.push_back(std::move(expanded));
    }
  plan_weights(plan, suite, weights, only);
  count(plan);
  if (plan.findings == 0) fail_usage("--only '{}' matches no finding of this suite", only);
  return plan;
}

}  // namespace greta::suites
