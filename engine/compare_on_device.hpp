// Two tensors compared by a device's own kernel, in one pass over both; what comes back is one small struct.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/engine.hpp"

namespace greta::engine {

// `a` is the tensor that is judged, `b` what it should be; sums are over the elements that are finite on both
// sides. kernels/evidence.hpp defines each figure.
struct DeviceComparison {
  int64_t count = 0, finite = 0, out_of_bound = 0, nan_count = 0, inf_count = 0, non_finite_mismatch = 0;
  int64_t worst = -1, max_ulp = 0;
  double ratio = 0, max_abs = 0, max_rel = 0;
  double error = 0, magnitude = 0, square = 0, a_square = 0, b_square = 0, product = 0;
  float worst_a = 0, worst_b = 0, worst_bound = 0;
};

class ComparingDevice {
 public:
  virtual ~ComparingDevice() = default;
  // bound: empty, which is 0 everywhere, or as long as the others. Error (internal): lengths that differ, or
  // what the device refuses.
  virtual DeviceComparison compare(std::span<const float> a, std::span<const float> b,
                                   std::span<const float> bound) = 0;
};

// On settings.device. Errors as Engine's.
std::unique_ptr<ComparingDevice> make_comparing_device(const Settings& settings);

}  // namespace greta::engine
