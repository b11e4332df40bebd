// The same token at the same position, computed once as the last row of a prefill and once as a decode step,
// over a cache that was filled by prefill (decode0) and token by token (decode0_stepwise), so that a prefill
// that wrote a bad cache cannot hide itself.
#include <fmt/format.h>

#include <algorithm>

#include "probes/figures.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct PhaseParity {
  static constexpr std::string_view name = "phase_parity";
  static constexpr std::string_view doc =
      "decode agrees with the last row of prefill, over a cache filled by prefill and token by token";

  static Needs needs(const Options&) {
    return {.chained = true, .phases = {"decode0", "decode0_stepwise"}, .also = {"prefill_last"}};
  }

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence, place, finding); });
  }

  static void check(const Evidence& evidence, const Place& place, Finding& finding) {
    const Phase& prefill = evidence.phase("prefill_last");
    const Phase& decode = evidence.phase(place.phase);
    const Place prefill_place{prefill.name, place.layer, place.stage};
    if (prefill.call.tokens != decode.call.tokens || prefill.call.start != decode.call.start)
      throw Missing(say("prefill_last and {} are not of the same token at the same position", decode.name));
    const Tap& a = decode.tap(place.layer, place.stage);
    const Tap& b = prefill.tap(place.layer, place.stage);
    const ChainedRows& ra = evidence.chained_rows(place);
    const ChainedRows& rb = evidence.chained_rows(prefill_place);
    if (ra.envelope.size() != rb.envelope.size() || ra.envelope.size() != a.f32().size())
      throw Missing(say("{} and {} have different sizes", place.text(), prefill_place.text()));

    std::vector<float> tolerance(ra.envelope.size());
    for (size_t i = 0; i < tolerance.size(); ++i)
      tolerance[i] = static_cast<float>(ra.envelope[i] + rb.envelope[i]);
    finding.kernel = fmt::format("{} | prefill: {}", a.kernel, b.kernel);
    finding.contract = fmt::format("{} | prefill: {}", a.contract, b.contract);
    finding.shape = a.tensor->shape();
    finding.reason = "sum of both phases' chained envelopes";
    finding.metrics = compare(a.f32(), b.f32(), tolerance);
    if (a.stored != DType::f32) finding.metrics.max_ulp = ulp_distance(a.f32(), b.f32(), a.stored);
    const Metrics& m = finding.metrics;
    const Sides sides{against_reference(a, ra), against_reference(b, rb)};
    finding.figures = {number("mae", m.mae),
                       number("max_abs", m.max_abs),
                       number("ratio", m.bound_ratio),
                       number("ratio_decode", sides.decode),
                       number("ratio_prefill", sides.prefill),
                       word("wrong_side", sides.wrong())};
    if (m.count == 0 || m.pass()) return;
    finding.status = Status::fail;
    finding.message =
        say("{} {:.9g} but prefill_last {:.9g} at {} (ratio {:.3g}); {}", decode.name, m.worst_actual,
            m.worst_expected, to_string(finding.worst_index()), m.bound_ratio, blame(sides, decode.name));
  }

  static double against_reference(const Tap& tap, const ChainedRows& rows) {
    return compare(tap.f32(), rows.value, rows.envelope, rows.envelope).bound_ratio;
  }

  // Each side's bound ratio against the reference.
  struct Sides {
    double decode, prefill;
    std::string wrong() const {
      const bool decode_out = !(decode <= 1), prefill_out = !(prefill <= 1);
      return decode_out && prefill_out ? "both" : decode_out ? "decode" : prefill_out ? "prefill" : "neither";
    }
  };

  static Message blame(const Sides& sides, const std::string& name) {
    const Message ratios =
        say("against the reference: {} {:.3g}, prefill_last {:.3g}", name, sides.decode, sides.prefill);
    const std::string wrong = sides.wrong();
    if (wrong == "both") return say("both sides are wrong ({})", ratios);
    if (wrong == "neither") return say("neither side alone is out of its envelope ({})", ratios);
    if (wrong == "prefill") return say("prefill is the wrong side ({})", ratios);
    return say("{} is the wrong side ({})", name, ratios);
  }
};

REGISTER_PROBE(PhaseParity);

}  // namespace
}  // namespace greta::probes
