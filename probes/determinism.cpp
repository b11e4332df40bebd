// A/A: the same calls again give the same bits. On the host machine the lanes of the repeat run in another
// order, so that a missing barrier shows.
#include <fmt/format.h>

#include <cstring>

#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct Determinism {
  static constexpr std::string_view name = "determinism";
  static constexpr std::string_view doc =
      "A/A: the same calls again give the same bits (host machine: lanes in another order)";

  static Needs needs(const Options&) { return {.repeats = true}; }

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) { check(at, stage, finding); });
  }

  static void check(const LayerView& at, Stage stage, Finding& finding) {
    const Tap& first = at.tap(stage);
    const Tap& again = at.repeated(stage);
    finding.kernel = first.kernel;
    finding.contract = first.contract;
    finding.shape = first.tensor->shape();
    finding.reason = "bitwise";
    if (first.kernel != again.kernel)
      throw Missing(say("the repeat ran another kernel: {}, then {}", first.kernel, again.kernel));
    finding.metrics.count = first.tensor->size();
    if (std::memcmp(first.tensor->data(), again.tensor->data(), first.tensor->bytes()) == 0) return;
    finding.metrics = compare(first.f32(), again.f32(), {});
    if (first.stored != DType::f32)
      finding.metrics.max_ulp = ulp_distance(first.f32(), again.f32(), first.stored);
    finding.status = Status::fail;
    const Message& note = at.evidence.repeat_note;
    const Message how = note.empty() ? say("the same call again") : say("the same call again with {}", note);
    finding.message =
        say("{} gives other bits: {} of {} values differ, worst at {}: {:.9g}, then {:.9g}; "
            "a barrier may be missing, or memory is read that nothing wrote",
            how, finding.metrics.out_of_bound, finding.metrics.count, to_string(finding.worst_index()),
            finding.metrics.worst_actual, finding.metrics.worst_expected);
  }
};

REGISTER_PROBE(Determinism);

}  // namespace
}  // namespace greta::probes
