// For random tests: a fresh seed each run, or the one in GRETA_TEST_SEED, to repeat a failure.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>

namespace greta {

inline uint64_t test_seed() {
  if (const char* fixed = std::getenv("GRETA_TEST_SEED")) return std::strtoull(fixed, nullptr, 10);
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace greta
