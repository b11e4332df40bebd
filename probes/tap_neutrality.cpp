// The instrument must not change the run: with taps on and off the caller gets the same bits.
#include <fmt/format.h>

#include <cstring>

#include "datasets/message.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct TapNeutrality {
  static constexpr std::string_view name = "tap_neutrality";
  static constexpr std::string_view doc = "the logits with taps on and with taps off have the same bits";
  static constexpr Option options[] = {
      {"selections", "none|some", "beside taps off: also one stage's taps alone, and one layer's"}};

  static Needs needs(const Options& given) {
    return {.untapped = true, .selections = given.at("selections") == "some", .stages = {Stage::logits}};
  }

  explicit TapNeutrality(const Options& given) : some(given.at("selections") == "some") {}
  bool some;

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence.phase(place.phase), finding); });
  }

  void check(const Phase& phase, Finding& finding) const {
    if (!phase.outcome) throw Missing(say("{} returned no logits", phase.name));
    if (!phase.untapped) throw Missing(say("{} did not run without taps", phase.name));
    if (some && phase.selected.empty())
      throw Missing(say("{} did not run with some of its taps", phase.name));
    finding.reason = "bitwise";
    finding.kernel = phase.untapped->launched;
    compare_with("no tap", *phase.outcome, *phase.untapped, finding);
    if (!some) return;  // what was compared goes without saying
    finding.figures.push_back({.name = "selection", .text = "no tap"});
    for (const auto& [selection, outcome] : phase.selected) {
      if (finding.status == Status::fail) return;
      compare_with(selection, *phase.outcome, outcome, finding);
      finding.figures.push_back({.name = "selection", .text = selection});
    }
  }

  static void compare_with(const std::string& selection, const Phase::Outcome& all,
                           const Phase::Outcome& less, Finding& finding) {
    const auto &on = all.logits, &off = less.logits;
    if (on.size() != off.size())
      throw Missing(say("{} logits with all taps, {} with {}", on.size(), off.size(), selection));
    finding.metrics.count += static_cast<int64_t>(on.size());
    finding.shape = {static_cast<int64_t>(on.size())};
    const bool same_bits = std::memcmp(on.data(), off.data(), on.size() * sizeof(float)) == 0;
    if (same_bits && all.top1 == less.top1) return;
    finding.metrics = compare(on, off, {});
    finding.status = Status::fail;
    finding.message =
        say("taps change the run: {} of {} logits differ, worst token {}: {:.9g} with all of them, {:.9g} "
            "with {}; top-1 {} and {}",
            finding.metrics.out_of_bound, on.size(), finding.metrics.worst, finding.metrics.worst_actual,
            finding.metrics.worst_expected, selection, all.top1, less.top1);
  }
};

REGISTER_PROBE(TapNeutrality);

}  // namespace
}  // namespace greta::probes
