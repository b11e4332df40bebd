#include "probes/races.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "datasets/cause.hpp"
#include "probes/evidence.hpp"
#include "probes/scope.hpp"
#include "probes/top1_coherence.hpp"

namespace greta::probes {
namespace {

std::vector<const Finding*> of_probe(std::span<const Finding> findings, const std::string& arm,
                                     std::string_view probe) {
  std::vector<const Finding*> out;
  for (const Finding& finding : findings)
    if (finding.arm == arm && finding.probe == probe && finding.status != Status::invalid)
      out.push_back(&finding);
  return out;
}

// Whether the inputs of a stage were the same in both runs; unknown when one of them was not compared: rows
// that an earlier call wrote to the cache, stages that the suite leaves out.
enum class Inputs { same, differ, unknown };

class Repeats {
 public:
  explicit Repeats(const std::vector<const Finding*>& findings) {
    for (const Finding* finding : findings) {
      by_place_[key(*finding, finding->layer, finding->stage)] = finding;
      last_layer_ = std::max(last_layer_, finding->layer);
    }
  }

  Inputs inputs_of(const Finding& finding) const {
    const Stage stage = parse_stage(finding.stage);
    Inputs out = Inputs::same;
    for (const auto& ref : reference::operands_of(stage, finding.layer, op_of(finding))) {
      const int layer = info(ref.stage).per_layer && ref.layer < 0 ? last_layer_ : ref.layer;
      const auto found = by_place_.find(key(finding, layer, std::string(name_of(ref.stage))));
      if (found != by_place_.end() && found->second->status == Status::fail) return Inputs::differ;
      const bool earlier_calls = ref.history && finding.phase != "prefill";
      if (found == by_place_.end() || earlier_calls) out = Inputs::unknown;
    }
    return out;
  }

 private:
  using Key = std::tuple<std::string, std::string, int, std::string>;
  static Key key(const Finding& finding, int layer, const std::string& stage) {
    return {finding.prompt, finding.phase, layer, stage};
  }
  std::map<Key, const Finding*> by_place_;
  int last_layer_ = -1;
};

Trial observed_cause(std::string_view cause, const Finding& finding) {
  return {.causes = {std::string(cause)}, .place = finding.key(), .note = say("from what the probe saw")};
}

// The same stage, in order; in the order in which their first finding failed.
std::vector<std::vector<const Finding*>> by_stage(const std::vector<const Finding*>& findings) {
  std::vector<std::vector<const Finding*>> out;
  for (const Finding* finding : findings) {
    const auto same = std::find_if(out.begin(), out.end(),
                                   [&](const auto& group) { return group[0]->stage == finding->stage; });
    if (same == out.end())
      out.push_back({finding});
    else
      same->push_back(finding);
  }
  return out;
}

}  // namespace

std::vector<Explanation> explain_races(std::span<const Finding> findings, const std::string& arm) {
  const auto all = of_probe(findings, arm, "determinism");
  const Repeats repeats(all);
  std::vector<const Finding*> roots, unknown, behind;
  for (const Finding* finding : all) {
    if (finding->status != Status::fail) continue;
    const Inputs inputs = repeats.inputs_of(*finding);
    (inputs == Inputs::same ? roots : inputs == Inputs::unknown ? unknown : behind).push_back(finding);
  }
  // A stage whose inputs were not all compared is blamed only when there is nobody else to blame.
  if (!roots.empty()) {
    behind.insert(behind.end(), unknown.begin(), unknown.end());
    unknown.clear();
  }
  std::vector<Explanation> out;
  const Cause& barrier = find_cause("barrier=missing");
  for (const auto& group : by_stage(roots.empty() ? unknown : roots)) {
    Explanation answer{.arm = arm, .stage = group[0]->stage};
    std::vector<const Finding*> passing;
    for (const Finding* finding : all)
      if (finding->stage == answer.stage && finding->status == Status::pass) passing.push_back(finding);
    for (const Finding* finding : group) answer.places.push_back(finding->key());
    answer.scope = scope_of(group, {}, passing, {});
    answer.tensors = answer.tried = static_cast<int64_t>(group.size());
    // NaN of other bits is a difference without a size: the finding that has one says more.
    const Finding* most = *std::max_element(group.begin(), group.end(), [](const auto* a, const auto* b) {
      return a->metrics.out_of_bound < b->metrics.out_of_bound;
    });
    answer.observed =
        roots.empty()
            ? say("the same call, whose inputs were not all compared, gave two results: {}", most->message)
            : say("the same inputs gave two results: {}", most->message);
    answer.tells = say(
        "memory that is read before it is written, or any other race, would look the same; a race detector "
        "on this kernel tells");
    if (!roots.empty() && barrier.breaks(parse_stage(answer.stage))) {
      answer.answer = Answer::explained;
      answer.fitting = {observed_cause("barrier=missing", *group[0])};
    }
    out.push_back(std::move(answer));
  }
  if (!out.empty())
    for (const Finding* finding : behind) out.front().consequences.push_back(finding->key());
  return out;
}

std::vector<Explanation> explain_copies(std::span<const Finding> findings, const std::string& arm) {
  std::vector<const Finding*> failing, passing;
  for (const Finding* finding : of_probe(findings, arm, "top1_coherence"))
    if (finding->status == Status::fail && finding->message.text() == not_as_written().text())
      failing.push_back(finding);
    else if (finding->status == Status::pass)
      passing.push_back(finding);
  if (failing.empty()) return {};
  Explanation answer{.arm = arm, .stage = "logits", .answer = Answer::explained};
  std::set<std::tuple<std::string, std::string>> calls;
  for (const Finding* finding : failing) {
    answer.places.push_back(finding->key());
    calls.emplace(finding->prompt, finding->phase);
  }
  for (const Finding* finding : of_probe(findings, arm, "tap_neutrality"))
    if (finding->status == Status::fail && calls.contains({finding->prompt, finding->phase}))
      answer.consequences.push_back(finding->key());
  answer.scope = scope_of(failing, {}, passing, {});
  answer.tensors = answer.tried = static_cast<int64_t>(failing.size());
  answer.observed = not_as_written();
  answer.tells = say(
      "a copy from the wrong place would look the same; waiting for the stream before the logits are read "
      "tells");
  answer.fitting = {observed_cause("host_copy=not_awaited", *failing[0])};
  return {answer};
}

}  // namespace greta::probes
