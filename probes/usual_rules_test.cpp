// Each usual rule at its threshold, from its definition, and what each does with NaN and infinities.
#include "probes/usual_rules.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"

namespace greta::probes {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

RuleVerdicts rules(const std::vector<float>& actual, const std::vector<double>& reference,
                   double certain = 1) {
  return usual_rules(actual, reference, std::vector<double>(actual.size(), certain));
}

struct UsualRules : testing::Test {
  UsualRules() : seed(test_seed()), random(seed) { RecordProperty("seed", std::to_string(seed)); }
  // `count` values of about `scale` that f32 holds exactly.
  std::vector<double> values(size_t count, double scale) {
    std::normal_distribution<float> normal(0, static_cast<float>(scale));
    std::vector<double> out(count);
    for (double& x : out) x = normal(random);
    return out;
  }
  static std::vector<float> f32(const std::vector<double>& x) { return {x.begin(), x.end()}; }
  uint64_t seed;
  std::mt19937_64 random;
};

TEST_F(UsualRules, TheSameTensorPassesEveryRule) {
  const auto x = values(100, 3);
  const auto verdicts = rules(f32(x), x, 0);
  for (size_t rule = 0; rule < std::size(kUsualRules); ++rule)
    EXPECT_TRUE(verdicts[rule]) << kUsualRules[rule];
  EXPECT_THROW(verdicts[std::size(kUsualRules)], Error);
}

TEST_F(UsualRules, AssertCloseTurnsAtItsTolerance) {
  struct Row {
    double rtol;
    bool RuleVerdicts::*passes;
  };
  for (const auto& [rtol, passes] :
       {Row{1.3e-6, &RuleVerdicts::close_f32}, Row{1e-3, &RuleVerdicts::close_f16},
        Row{1.6e-2, &RuleVerdicts::close_bf16}}) {
    for (const double size : {0.0, 1e-4, 1.0, 37.0}) {
      const double allowed = 1e-5 + rtol * size;
      auto x = values(50, 1);
      const size_t at = random() % x.size();
      x[at] = size;
      auto inside = f32(x), outside = f32(x);
      inside[at] += static_cast<float>(0.9 * allowed);
      outside[at] -= static_cast<float>(1.1 * allowed);
      EXPECT_TRUE(rules(inside, x).*passes) << rtol << " of " << size << ", seed " << seed;
      EXPECT_FALSE(rules(outside, x).*passes) << rtol << " of " << size << ", seed " << seed;
    }
  }
}

TEST_F(UsualRules, AssertCloseMeasuresByTheReference) {
  // |1 - 1.0161| = 0.0161: above 1.6e-2·1, below 1.6e-2·1.0161 + 1e-5.
  EXPECT_FALSE(rules({1.0161f}, {1}).close_bf16);
  EXPECT_TRUE(rules({1}, {1.0161}).close_bf16);
}

TEST_F(UsualRules, NmseTurnsAtFiveInTenThousandOfTheTestedSide) {
  const auto x = values(2000, 2);
  const auto scaled = [&](double by) {
    auto out = f32(x);
    for (float& y : out) y = static_cast<float>(y * by);
    return out;
  };
  // a = s·b: Σ(a-b)²/Σa² = ((s-1)/s)² = 5e-4 at s = 1/(1 - 0.02236) = 1.02287; by b's norm at 1.02236.
  EXPECT_TRUE(rules(scaled(1.0226), x).nmse);
  EXPECT_FALSE(rules(scaled(1.0232), x).nmse);
  auto zeroed = f32(std::vector<double>(2500, 1));
  zeroed[random() % 2500] = 0;
  EXPECT_TRUE(rules(zeroed, std::vector<double>(2500, 1)).nmse) << "1/2499: one lost element in 2,500 passes";
}

TEST_F(UsualRules, CosineTurnsAtItsAngleAndDoesNotSeeScale) {
  const double angle = std::acos(0.999);
  for (const double share : {0.98, 1.02}) {
    const double a = share * angle;
    const std::vector<float> actual = {static_cast<float>(std::cos(a)), static_cast<float>(std::sin(a))};
    EXPECT_EQ(rules(actual, {1, 0}).cosine, share < 1);
  }
  const auto x = values(100, 1);
  auto scaled = f32(x);
  for (float& y : scaled) y *= 7;
  EXPECT_TRUE(rules(scaled, x).cosine);
  EXPECT_FALSE(rules({0, 0}, {1, 2}).cosine);
  EXPECT_FALSE(rules({0, 0}, {0, 0}).cosine) << "0 / 1e-16 = 0";
}

TEST_F(UsualRules, OneBoundIsTheLargestOfTheTensor) {
  auto x = values(64, 1);
  std::vector<double> certain(64, 1e-6);
  const size_t at = random() % 64, elsewhere = (at + 1 + random() % 63) % 64;
  certain[elsewhere] = 1e-2;
  auto moved = f32(x);
  moved[at] += 0.9e-2f;  // 9,000 times its own bound
  EXPECT_TRUE(usual_rules(moved, x, certain).gamma) << "seed " << seed;
  moved[at] += 0.2e-2f;
  EXPECT_FALSE(usual_rules(moved, x, certain).gamma) << "seed " << seed;
}

TEST_F(UsualRules, NanFailsEveryRule) {
  for (const bool in_both : {false, true}) {
    auto x = values(40, 1);
    auto actual = f32(x);
    const size_t at = random() % 40;
    actual[at] = kNan;
    if (in_both) x[at] = kNan;
    const auto verdicts = rules(actual, x);
    for (size_t rule = 0; rule < std::size(kUsualRules); ++rule)
      EXPECT_FALSE(verdicts[rule]) << kUsualRules[rule] << (in_both ? " in both" : "");
  }
}

TEST_F(UsualRules, AnInfinityOnOneSideFailsEveryRule) {
  for (const float infinity : {kInf, -kInf}) {
    const auto x = values(40, 1);
    auto actual = f32(x);
    actual[random() % 40] = infinity;
    const auto verdicts = rules(actual, x);
    for (size_t rule = 0; rule < std::size(kUsualRules); ++rule)
      EXPECT_FALSE(verdicts[rule]) << kUsualRules[rule];
    EXPECT_FALSE(rules({infinity}, {-infinity}).nmse);
    EXPECT_FALSE(rules({infinity}, {-infinity}).close_bf16);
  }
}

TEST_F(UsualRules, EqualInfinitiesBlindNmse) {
  auto x = values(40, 1);
  auto actual = f32(x);
  const size_t at = random() % 20;
  x[at] = actual[at] = -kInf;
  const auto right = rules(actual, x);
  EXPECT_TRUE(right.close_f32);
  EXPECT_TRUE(right.nmse);
  EXPECT_FALSE(right.cosine);
  EXPECT_FALSE(right.gamma);
  for (size_t i = 20; i < 40; ++i) actual[i] = 100;  // half of the tensor is wrong
  const auto wrong = rules(actual, x);
  EXPECT_FALSE(wrong.close_bf16);
  EXPECT_TRUE(wrong.nmse) << "NaN > 5e-4 is false";
}

TEST_F(UsualRules, LargestFloatsStandForInfinitiesInNmseAlone) {
  EXPECT_TRUE(rules({FLT_MAX, 1}, {kInf, 1}).nmse);
  EXPECT_FALSE(rules({FLT_MAX, 1}, {-kInf, 1}).nmse);
  EXPECT_FALSE(rules({FLT_MAX, 1}, {kInf, 1}).close_bf16);
}

TEST_F(UsualRules, ZerosAndNothing) {
  EXPECT_TRUE(rules({0, 0}, {0, 0}).nmse) << "0/0 is NaN";
  EXPECT_FALSE(rules({0, 0}, {1, 1}).nmse) << "1/0 is infinite";
  const auto nothing = rules({}, {});
  for (size_t rule = 0; rule < std::size(kUsualRules); ++rule)
    EXPECT_EQ(nothing[rule], kUsualRules[rule] != "cosine 0.999") << kUsualRules[rule];
  EXPECT_THROW(usual_rules(std::vector<float>(3), std::vector<double>(3), std::vector<double>(2)), Error);
}

}  // namespace
}  // namespace greta::probes
