// For tests of the host machine: settings put back after each test, and a seed that is printed.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "kernels/hip/hip.hpp"

namespace greta::kernels {

// Fresh each run; GRETA_TEST_SEED overrides it.
inline unsigned test_seed() {
  const char* given = std::getenv("GRETA_TEST_SEED");
  const unsigned seed =
      given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device()();
  testing::Test::RecordProperty("seed", std::to_string(seed));
  std::cout << "[   seed   ] GRETA_TEST_SEED=" << seed << '\n';
  return seed;
}

class HostTest : public testing::Test {
 protected:
  ~HostTest() override {
    (void)hipDeviceSynchronize();
    (void)hipGetLastError();
    host::configure(before_);
  }
  static void use(const host::Settings& settings) { host::configure(settings); }

 private:
  host::Settings before_ = host::settings();
};

}  // namespace greta::kernels
