// Which kernel ran each stage, as attested by the code that launched it, beside its error: what an arm's
// route came to, in one table.
#include "probes/figures.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct Kernels {
  static constexpr std::string_view name = "kernels";
  static constexpr std::string_view doc = "the kernel that ran each stage, as attested, beside its error";

  static Needs needs(const Options&) { return {.operands = true}; }

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) {
        const auto& right = at.local(stage);
        compare_with(finding, at.tap(stage), span_of(right.value), span_of(right.expected),
                     span_of(right.certain));
        finding.reason = right.reason;
        if (finding.kernel.empty())
          throw Missing(say("no kernel is attested for {}", at.place(stage).text()));
        finding.figures = {word("kernel", finding.kernel), number("mae", finding.metrics.mae),
                           number("max_abs", finding.metrics.max_abs),
                           number("ratio", finding.metrics.bound_ratio)};
      });
  }
};

REGISTER_PROBE(Kernels);

}  // namespace
}  // namespace greta::probes
