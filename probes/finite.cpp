// NaN and Inf, looked at before any norm. The only infinities of a forward pass are the masked scores of qk.
#include <fmt/format.h>

#include <cmath>

#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct Finite {
  static constexpr std::string_view name = "finite";
  static constexpr std::string_view doc = "no NaN or infinity anywhere, masked scores apart";

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) { check(at, stage, finding); });
  }

  static void check(const LayerView& at, Stage stage, Finding& finding) {
    const Tap& tap = at.tap(stage);
    const auto values = tap.f32();
    finding.kernel = tap.kernel;
    finding.contract = tap.contract;
    finding.shape = tap.tensor->shape();
    finding.reason = "every value is finite";
    Metrics& m = finding.metrics;
    m.count = static_cast<int64_t>(values.size());
    for (int64_t i = 0; i < m.count; ++i) {
      const float x = values[static_cast<size_t>(i)];
      if (std::isfinite(x) || (std::isinf(x) && x < 0 && masked(at.phase, stage, i))) continue;
      ++(std::isnan(x) ? m.nan_count : m.inf_count);
      if (m.out_of_bound++ == 0) {
        m.worst = i;
        m.worst_actual = x;
      }
    }
    m.non_finite_mismatch = m.out_of_bound;
    if (m.count == 0 || m.out_of_bound == 0) return;
    finding.status = Status::fail;
    finding.message = say("{} NaN and {} infinite values of {}; the first at {}", m.nan_count, m.inf_count,
                          m.count, to_string(finding.worst_index()));
  }

  // A score [S, H, T] of a key that is later than the query.
  static bool masked(const Phase& phase, Stage stage, int64_t index) {
    if (stage != Stage::qk) return false;
    const int64_t T = phase.sizes.T, row = index / (phase.sizes.H * T);
    return index % T > phase.call.start + row;
  }
};

REGISTER_PROBE(Finite);

}  // namespace
}  // namespace greta::probes
