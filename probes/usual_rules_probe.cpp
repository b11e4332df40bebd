// What the field's usual rules would have said: beside our verdicts, never one of them.
#include <fmt/format.h>

#include "probes/probe.hpp"
#include "probes/usual_rules.hpp"

namespace greta::probes {
namespace {

struct UsualRules {
  static constexpr std::string_view name = "usual_rules";
  static constexpr std::string_view doc =
      "which of the field's usual rules (assert_close, NMSE, cosine, one γₙ a tensor) would refuse each "
      "stage; "
      "never a verdict";

  static Needs needs(const Options&) { return {.operands = true, .weights = true}; }

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) { note(at.tap(stage), at.local(stage), finding); });
  }

  void check_weight(const WeightView& at, Judge& judge) const {
    judge.weight(at.weight, [&](Finding& finding) {
      const auto& bounded = at.local();
      note(*at.delivered, bounded, finding);
    });
  }

  static void note(const Tap& tap, const reference::Bounded& bounded, Finding& finding) {
    const auto span = [](const reference::Matrix& m) {
      return std::span(m.data(), static_cast<size_t>(m.size()));
    };
    compare_with(finding, tap, span(bounded.value), span(bounded.expected), span(bounded.certain));
    const auto verdicts = usual_rules(tap.f32(), span(bounded.value), span(bounded.certain));
    std::vector<Message> refusing;
    for (size_t rule = 0; rule < std::size(kUsualRules); ++rule)
      if (!verdicts[rule]) refusing.push_back(verbatim(std::string(kUsualRules[rule])));
    if (!refusing.empty()) finding.message = say("refused by {}", joined(refusing, ", "));
    finding.status = Status::pass;  // it judges nothing
    finding.metrics.bound_ratio = 0;
    finding.metrics.out_of_bound = finding.metrics.out_of_certain = finding.metrics.non_finite_mismatch = 0;
  }
};

REGISTER_PROBE(UsualRules);

}  // namespace
}  // namespace greta::probes
