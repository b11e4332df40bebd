// Host machine: its settings, the sentence behind the last error, and the search for missing barriers.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/hip/host_types.hpp"
#include "kernels/hip/host_unit.hpp"

namespace greta::kernels::host {

struct Settings {
  int wave = 64;    // 64 (CDNA) or 32 (NVIDIA)
  int threads = 0;  // that run blocks; 0: all cores (at most 32)
  uint64_t order_seed =
      0;  // of lanes, waves and blocks between collectives. 0: natural, 1: reversed, else shuffled
  bool lazy_streams =
      false;  // work waits until someone synchronises: a read before that sees old data, always
  MatrixUnit matrix_unit = MatrixUnit::ieee;  // what mma computes
};

// Waits for all streams first. Throws std::invalid_argument on a wave size that is neither 64 nor 32, or
// negative threads.
void configure(const Settings& settings);
Settings settings();
MatrixUnit configured_matrix_unit();

// The full sentence (what, kernel, block, place) of the last call that returned an error; empty if none did.
std::string last_error();

// A device array whose contents after `run` must not depend on the order of lanes.
struct Output {
  const char* name;
  const void* device;
  size_t bytes;
  enum class Element { f32, i32, byte } element = Element::f32;
};

// Runs `run` (which launches and need not synchronise) under the natural, the reversed and `shuffles` random
// orders, on one thread; the settings are put back. A sentence naming the first element that differs, or
// nothing. `run` must start from the same inputs each time.
std::optional<std::string> order_dependence(const std::function<void()>& run,
                                            const std::vector<Output>& outputs, int shuffles = 4);

}  // namespace greta::kernels::host
