// One seed for all random tests of the program, fresh each run and printed, so that a failure can be
// repeated.
#include <gtest/gtest.h>

#include <iostream>

#include "datasets/test_seed.hpp"

namespace greta::reference {
namespace {

class Seed : public testing::Environment {
 public:
  void SetUp() override {
    if (std::getenv("GRETA_TEST_SEED")) return;
    const auto seed = std::to_string(test_seed());
    setenv("GRETA_TEST_SEED", seed.c_str(), 1);
    std::cout << "repeat with GRETA_TEST_SEED=" << seed << "\n";
  }
};

const auto* const kSeed = testing::AddGlobalTestEnvironment(new Seed);

}  // namespace
}  // namespace greta::reference
