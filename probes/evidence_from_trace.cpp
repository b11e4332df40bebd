#include "probes/evidence_from_trace.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/checksum.hpp"
#include "datasets/error.hpp"

namespace greta::probes {
namespace {

constexpr const char* kWeights = "weights";

// Rebuilds the calls of one case (suites/passes.cpp makes them) from the names of the phases in the trace.
class Rebuilt {
 public:
  Rebuilt(const std::vector<int32_t>& tokens, const std::set<std::string>& phases,
          const reference::Config& config, Evidence& evidence)
      : tokens_(tokens), phases_(phases), config_(config), evidence_(evidence) {}

  // `read`: where a phase's tensors come from.
  void run(const std::function<Phase::Source(const std::string& phase)>& source) {
    source_ = source;
    const auto last = static_cast<int>(tokens_.size()) - 1;
    if (has("prefill") || has("prefill_last")) {
      const Phase& whole = add("prefill", tokens_, 0);
      if (has("prefill_last")) {
        Phase& row = add("prefill_last", {tokens_.back()}, last);
        row.window = fmt::format("row {} of {}", last, tokens_.size());
        row.window_of = &whole;
        row.filled = "prefill";
      }
    }
    decodes(last);
    if (has("decode0_stepwise")) {
      const Phase* fill = last > 0 ? &add("fill_stepwise", {tokens_.begin(), tokens_.end() - 1}, 0) : nullptr;
      Phase& step = add("decode0_stepwise", {tokens_.back()}, last);
      if (!fill) return;
      step.filled = "stepwise";
      step.before = {fill};
    }
  }

 private:
  bool has(const std::string& phase) const { return phases_.contains(phase); }

  Phase& add(const std::string& name, std::vector<int32_t> tokens, int start) {
    const auto S = static_cast<int64_t>(tokens.size());
    Phase& phase =
        evidence_.add(name, reference::Call{std::move(tokens), start}, config_.sizes(S, start + S));
    phase.read_from(source_(name));
    return phase;
  }

  void decodes(int last) {
    const auto name = [](int step) { return fmt::format("decode{}", step); };
    if (!has("fill_prefill") && !has(name(0))) return;
    std::vector<const Phase*> before;
    if (last > 0) before.push_back(&add("fill_prefill", {tokens_.begin(), tokens_.end() - 1}, 0));
    int32_t token = tokens_.back();
    for (int step = 0; has(name(step)); ++step) {
      Phase& phase = add(name(step), {token}, last + step);
      phase.filled = before.empty() ? "" : "prefill";
      phase.before = before;
      before.push_back(&phase);
      if (has(name(step + 1))) token = top1(phase);
    }
  }

  static int32_t top1(const Phase& phase) {
    if (!phase.has(-1, Stage::logits)) return -1;
    const auto logits = last_rows(phase.tap(-1, Stage::logits), phase, Stage::logits);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  const std::vector<int32_t>& tokens_;
  const std::set<std::string>& phases_;
  const reference::Config& config_;
  Evidence& evidence_;
  std::function<Phase::Source(const std::string&)> source_;
};

}  // namespace

TraceEvidence::TraceEvidence(const TraceReader& trace, const GgufFile& file, const reference::Model& model,
                             const std::string& digest)
    : trace_(trace), model_(model) {
  const auto& wanted = digest.empty() ? trace.identity().model_digest : digest;
  if (file.digest() != wanted)
    fail_invalid("the trace is of a model with digest {}; {} has {}: name the right one with --model", wanted,
                 file.path(), file.digest());
  of_first_arm_ = wanted == trace.identity().model_digest;
  for (const auto& key : trace.keys())
    if (key.prompt != kWeights) phases_[{key.prompt, key.arm}].insert(key.phase);
}

Tap TraceEvidence::read(const TraceKey& key) const {
  TraceRecord record = trace_.read(key);
  Tap tap{std::move(record.tensor), std::move(record.positions), std::move(record.kernel),
          std::move(record.contract)};
  if (!record.device_checksum.empty()) tap.device_checksum = parse_checksum(record.device_checksum);
  return tap;
}

std::shared_ptr<const Evidence> TraceEvidence::of(const std::string& prompt, const std::string& arm) const {
  const auto phases = phases_.find({prompt, arm});
  const auto& prompts = trace_.identity().prompt_tokens;
  const auto tokens = prompts.find(prompt);
  if (phases == phases_.end() || tokens == prompts.end() || tokens->second.empty())
    throw Missing(say("the trace has no tensors of {}/{}", prompt, arm));
  auto evidence = std::make_shared<Evidence>();
  evidence->prompt = prompt;
  evidence->arm = arm;
  evidence->model = &model_;
  const auto key = [=](const std::string& phase, int layer, Stage stage) {
    return TraceKey{prompt, arm, phase, layer, std::string(name_of(stage))};
  };
  Rebuilt(tokens->second, phases->second, model_.config(), *evidence).run([&](const std::string& phase) {
    return Phase::Source{
        .has = [=, this](int layer, Stage stage) { return trace_.contains(key(phase, layer, stage)); },
        .read = [=, this](int layer, Stage stage) { return read(key(phase, layer, stage)); }};
  });
  return evidence;
}

Tap TraceEvidence::weight(const std::string& arm, const std::string& gguf_name) const {
  for (const std::string& whose : {arm, std::string()})
    if (const TraceKey key{kWeights, whose, "", -1, gguf_name};
        (of_first_arm_ || !whose.empty()) && trace_.contains(key))
      return read(key);
  throw Missing(say("weight {} is not in the trace", gguf_name));
}

}  // namespace greta::probes
