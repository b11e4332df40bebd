#include "cli/compare_on_device.hpp"

namespace greta::cli {

probes::Metrics metrics_of(const engine::DeviceComparison& c) {
  probes::Piece whole{.finite = c.finite,
                      .error = c.error,
                      .magnitude = c.magnitude,
                      .square = c.square,
                      .reference = c.b_square,
                      .actual = c.a_square,
                      .product = c.product};
  probes::Metrics& m = whole.metrics;
  m.count = c.count;
  m.out_of_bound = m.out_of_certain = c.out_of_bound;  // two engines' tensors have one bound
  m.bound_ratio = m.certain_ratio = c.ratio;
  m.worst = c.worst;
  m.worst_actual = c.worst_a;
  m.worst_expected = c.worst_b;
  m.worst_bound = c.worst_bound;
  m.max_abs = c.max_abs;
  m.max_rel = c.max_rel;
  m.nan_count = c.nan_count;
  m.inf_count = c.inf_count;
  m.non_finite_mismatch = c.non_finite_mismatch;
  m.max_ulp = c.max_ulp;
  return probes::join({&whole, 1});
}

std::function<probes::Metrics(std::span<const float>, std::span<const float>, std::span<const float>)>
compare_on(const engine::Settings& settings) {
  const std::shared_ptr<engine::ComparingDevice> device = engine::make_comparing_device(settings);
  return [device](std::span<const float> a, std::span<const float> b, std::span<const float> tolerance) {
    return metrics_of(device->compare(a, b, tolerance));
  };
}

}  // namespace greta::cli
