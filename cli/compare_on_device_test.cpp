// A device's comparison and the processor's say the same of the same tensors.
#include "cli/compare_on_device.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"

namespace greta::cli {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

struct Pair {
  std::vector<float> a, b, tolerance;
};

Pair random_pair(std::mt19937_64& random, size_t count) {
  std::normal_distribution<float> normal;
  Pair pair;
  for (size_t i = 0; i < count; ++i) {
    const float b = normal(random) * (i % 37 == 5 ? 30.0f : 1.0f);
    pair.b.push_back(random() % 50 == 0 ? 0.0f : b);
    pair.a.push_back(random() % 3 == 0 ? pair.b.back() : pair.b.back() + 1e-5f * normal(random));
    pair.tolerance.push_back(2e-5f * static_cast<float>(1 + random() % 2));
  }
  return pair;
}

void expect_same(const Pair& pair, const std::vector<float>& tolerance) {
  const auto on_device = compare_on({.device = "host", .threads = 1});
  const probes::Metrics got = on_device(pair.a, pair.b, tolerance);
  const probes::Metrics want = probes::compare(pair.a, pair.b, tolerance);
  EXPECT_EQ(got.pass(), want.pass());
  EXPECT_EQ(got.count, want.count);
  EXPECT_EQ(got.out_of_bound, want.out_of_bound);
  EXPECT_EQ(got.out_of_certain, want.out_of_certain);
  EXPECT_EQ(got.bound_ratio, want.bound_ratio);
  EXPECT_EQ(got.certain_ratio, want.certain_ratio);
  EXPECT_EQ(got.worst, want.worst);
  // NaN equals NaN here
  EXPECT_EQ(std::isnan(got.worst_actual), std::isnan(want.worst_actual));
  EXPECT_TRUE(std::isnan(want.worst_actual) || got.worst_actual == want.worst_actual);
  EXPECT_TRUE(std::isnan(want.worst_expected) || got.worst_expected == want.worst_expected);
  EXPECT_EQ(got.worst_bound, want.worst_bound);
  EXPECT_EQ(got.max_abs, want.max_abs);
  EXPECT_EQ(got.max_rel, want.max_rel);
  EXPECT_EQ(got.nan_count, want.nan_count);
  EXPECT_EQ(got.inf_count, want.inf_count);
  EXPECT_EQ(got.non_finite_mismatch, want.non_finite_mismatch);
  EXPECT_EQ(got.max_ulp, want.max_ulp);
  // Two orders of a sum of n positive terms differ by 2γₙ at most; the mean error's terms cancel.
  const double gamma = 4 * static_cast<double>(want.count) * 0x1p-53;
  const auto expect_near = [](double a, double b, double most) {  // two infinities are equal
    EXPECT_TRUE(a == b || std::abs(a - b) <= most) << a << ", " << b;
  };
  expect_near(got.mae, want.mae, gamma * want.mae);
  expect_near(got.rmse, want.rmse, gamma * want.rmse);
  expect_near(got.nmse, want.nmse, gamma * want.nmse);
  expect_near(got.cosine, want.cosine, gamma);
  expect_near(got.bias_z, want.bias_z, 1e-9 * (1 + std::abs(want.bias_z)));
}

TEST(CompareOnDevice, SaysWhatTheProcessorSays) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (const size_t count : {1, 16, 1000, 4099}) {
    SCOPED_TRACE(count);
    Pair pair = random_pair(random, count);
    expect_same(pair, pair.tolerance);
    expect_same(pair, {});
    expect_same({pair.b, pair.b, {}}, {});
    if (count < 1000) continue;
    pair.a[3] = pair.b[3] = -kInf;
    pair.a[9] = pair.b[9] = kNan;
    expect_same(pair, pair.tolerance);
    pair.a[500] = kNan, pair.b[777] = kInf;
    expect_same(pair, pair.tolerance);
    expect_same(pair, {});
    pair.tolerance[12] = -1, pair.tolerance[13] = kNan;
    expect_same(pair, pair.tolerance);
  }
}

// One value against 0: the error over the reference's size is infinite on both sides.
TEST(CompareOnDevice, SaysSoOfAnInfiniteErrorToo) {
  expect_same({{1e-5f}, {0.0f}, {2e-5f}}, {2e-5f});
  expect_same({{1e-5f}, {0.0f}, {}}, {});
}

TEST(CompareOnDevice, SeesOneChangedValue) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto on_device = compare_on({.device = "host", .threads = 1});
  Pair pair = random_pair(random, 3000);
  pair.a = pair.b;
  EXPECT_TRUE(on_device(pair.a, pair.b, {}).pass());
  const size_t at = random() % 3000;
  pair.a[at] = std::nextafter(pair.a[at], kInf);
  const probes::Metrics metrics = on_device(pair.a, pair.b, {});
  EXPECT_FALSE(metrics.pass());
  EXPECT_EQ(metrics.worst, static_cast<int64_t>(at));
  EXPECT_EQ(metrics.max_ulp, 1);
}

TEST(CompareOnDevice, RefusesUnequalLengthsAndUnknownDevices) {
  const auto on_device = compare_on({.device = "host"});
  EXPECT_THROW(on_device(std::vector<float>(3), std::vector<float>(4), {}), Error);
  EXPECT_THROW(on_device(std::vector<float>(3), std::vector<float>(3), std::vector<float>(2)), Error);
  EXPECT_THROW(compare_on({.device = "gpu"}), Error);
}

}  // namespace
}  // namespace greta::cli
