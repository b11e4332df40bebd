// The bisection against brute force: every float in between, one after the other.
#include "probes/smallest_noticed.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "datasets/synthesise.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

struct SmallestNoticed : testing::Test {
  SmallestNoticed()
      : seed(test_seed()),
        random(seed),
        path(std::filesystem::temp_directory_path() /
             ("greta_smallest_" + std::to_string(getpid()) + ".gguf")),
        file(synthesised()),
        model(file),
        phase(evidence.add("prefill", {{1, 2, 3}, 0}, model.config().sizes(3, 3))) {
    RecordProperty("seed", std::to_string(seed));
    evidence.model = &model;
  }
  ~SmallestNoticed() override { std::filesystem::remove(path); }
  GgufFile synthesised() const {
    synthesise({.preset = "tiny", .quant = "q8_0", .seed = 3, .layers = 1}, path);
    return GgufFile::open(path);
  }
  // attn_residual = embed + wo, each element off by `ulps` of them.
  void put_residual(int ulps) {
    const auto count = static_cast<size_t>(3 * phase.sizes.D);
    const auto x = random_values(count, random), wo = random_values(count, random);
    std::vector<float> sum;
    for (size_t i = 0; i < count; ++i) sum.push_back(x[i] + wo[i]);
    for (int i = 0; i < ulps; ++i)
      for (float& y : sum) y = std::nextafter(y, std::numeric_limits<float>::infinity());
    phase.put(-1, Stage::embed, tap_of(phase, Stage::embed, x, "op=embed w=f32"));
    phase.put(0, Stage::wo, tap_of(phase, Stage::wo, wo));
    phase.put(0, Stage::attn_residual, tap_of(phase, Stage::attn_residual, sum));
  }
  const uint64_t seed;
  std::mt19937_64 random;
  const std::string path;
  GgufFile file;
  reference::Model model;
  Evidence evidence;
  Phase& phase;
};

TEST_F(SmallestNoticed, IsTheFirstFloatThatFails) {
  put_residual(0);
  const auto before = phase.tap(0, Stage::attn_residual).tensor;
  for (int round = 0; round < 10; ++round) {
    const auto found = smallest_noticed(evidence, phase, 0, Stage::attn_residual, random);
    const auto at = static_cast<size_t>(found.at);
    const float x = before->f32()[at];
    EXPECT_GT(found.bound, 0);
    bool agrees = false;
    for (const float side : {-1.0f, 1.0f}) {
      const float far = side * std::numeric_limits<float>::infinity();
      float y = std::nextafter(x, far);
      while (judged_with(evidence, phase, 0, Stage::attn_residual, at, y).status == Status::pass)
        y = std::nextafter(y, far);
      agrees |= std::fabs(static_cast<double>(y) - x) == found.change;
    }
    EXPECT_TRUE(agrees) << "seed " << seed << " element " << at << " change " << found.change;
  }
  const auto after = phase.tap(0, Stage::attn_residual).tensor;
  EXPECT_EQ(before, after) << "the evidence is as it was";
}

TEST_F(SmallestNoticed, ATensorThatFailsOrIsNotThereHasNoAnswer) {
  EXPECT_THROW(smallest_noticed(evidence, phase, 0, Stage::attn_residual, random), Missing);
  put_residual(3);
  EXPECT_THROW(smallest_noticed(evidence, phase, 0, Stage::attn_residual, random), Missing);
}

TEST_F(SmallestNoticed, MovedIsAtLeastTheChange) {
  std::normal_distribution<double> normal;
  for (int i = 0; i < 200; ++i) {
    const float x = static_cast<float>(normal(random));
    const double change = i % 10 ? std::fabs(normal(random)) * std::pow(10.0, -(i % 12)) : 0;
    for (const double sign : {-1.0, 1.0}) {
      const float y = moved(x, change, sign);
      EXPECT_NE(y, x);
      EXPECT_GE(sign * (static_cast<double>(y) - x), change) << "seed " << seed;
      const float nearer = std::nextafter(y, x);
      EXPECT_TRUE(nearer == x || std::fabs(static_cast<double>(nearer) - x) < change) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace greta::probes
