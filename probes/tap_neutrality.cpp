// The instrument must not change the run: with taps on and off the caller gets the same bits.
#include <fmt/format.h>

#include <cstring>

#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct TapNeutrality {
  static constexpr std::string_view name = "tap_neutrality";
  static constexpr std::string_view doc = "the logits with taps on and with taps off have the same bits";

  static Needs needs(const Options&) { return {.untapped = true, .stages = {Stage::logits}}; }

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence.phase(place.phase), finding); });
  }

  static void check(const Phase& phase, Finding& finding) {
    if (!phase.outcome) throw Missing(say("{} returned no logits", phase.name));
    if (!phase.untapped) throw Missing(say("{} did not run without taps", phase.name));
    const auto& on = phase.outcome->logits;
    const auto& off = phase.untapped->logits;
    if (on.size() != off.size()) throw Missing(say("{} logits with taps, {} without", on.size(), off.size()));
    finding.metrics.count = static_cast<int64_t>(on.size());
    finding.shape = {finding.metrics.count};
    finding.reason = "bitwise";
    const bool same_bits = std::memcmp(on.data(), off.data(), on.size() * sizeof(float)) == 0;
    if (same_bits && phase.outcome->top1 == phase.untapped->top1) return;
    finding.metrics = compare(on, off, {});
    finding.status = Status::fail;
    finding.message =
        say("taps change the run: {} of {} logits differ, worst token {}: {:.9g} with, {:.9g} without; "
            "top-1 {} with, {} without",
            finding.metrics.out_of_bound, on.size(), finding.metrics.worst, finding.metrics.worst_actual,
            finding.metrics.worst_expected, phase.outcome->top1, phase.untapped->top1);
  }
};

REGISTER_PROBE(TapNeutrality);

}  // namespace
}  // namespace greta::probes
