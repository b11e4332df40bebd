#include "reference/ensemble.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "datasets/test_seed.hpp"
#include "reference/noise.hpp"

namespace greta::reference {
namespace {

TEST(Noise, HasMeanZeroVarianceOneAndNoMemory) {
  const uint64_t key = test_seed();
  constexpr int kCount = 1 << 20;
  double sum = 0, squares = 0, neighbours = 0, fourth = 0, across = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double a = deviate(key, i), b = deviate(key, i + 1), c = deviate(key + 1, i);
    sum += a;
    squares += a * a;
    fourth += a * a * a * a;
    neighbours += a * b;
    across += a * c;
  }
  const double six = 6 / std::sqrt(kCount);
  EXPECT_NEAR(sum / kCount, 0, six);
  EXPECT_NEAR(squares / kCount, 1, six * 1.4);
  EXPECT_NEAR(fourth / kCount, 2.7, six * 4);
  EXPECT_NEAR(neighbours / kCount, 0, six);
  EXPECT_NEAR(across / kCount, 0, six);
}

TEST(Ensemble, StudentsQuantile) {
  EXPECT_NEAR(student_quantile(1) / 6.3662e11, 1, 1e-4) << "Cauchy: 1 / (π·5e-13)";
  EXPECT_NEAR(student_quantile(1e9), 7.1305, 1e-3) << "Gauss";
  EXPECT_NEAR(student_quantile(2) / 1e6, 1, 1e-3) << "t = a·sqrt(2/(1 - a²)), a = 1 - 1e-12: nearly 1e6";
}

// Deviations of known size, which differ by row and column: the envelope is a safe and not idle multiple of
// them.
TEST(Ensemble, EnvelopeFollowsTheDeviation) {
  std::mt19937_64 random(test_seed());
  std::normal_distribution<double> normal;
  constexpr int kReruns = 12, kRows = 40, kColumns = 200;
  Matrix sigma(kRows, kColumns), squares = Matrix::Zero(kRows, kColumns);
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j)
      sigma(i, j) = j == 3 ? 0 : std::exp(i * 0.1) * (j % 50 == 7 ? 30 : 1 + j % 3);
  for (Eigen::Index i = 0; i < sigma.size(); ++i)
    for (int r = 0; r < kReruns; ++r) squares.data()[i] += std::pow(sigma.data()[i] * normal(random), 2);
  const Matrix bound = envelope(squares, kReruns);
  double chance = 0;  // that one more deviation of an element is beyond its bound, added up
  for (Eigen::Index i = 0; i < sigma.size(); ++i) {
    if (sigma.data()[i] == 0) {
      EXPECT_EQ(bound.data()[i], 0) << "what does not vary is exact";
    } else {
      const double times = bound.data()[i] / sigma.data()[i];
      chance += std::erfc(times / std::numbers::sqrt2);
      EXPECT_LT(times, 25);
    }
  }
  EXPECT_LT(chance / static_cast<double>(sigma.size()), 1e-11) << "10 times what the quantile is of";
  const double alone = student_quantile(kReruns) * std::sqrt(squares(0, 0) / kReruns);
  EXPECT_LT(bound(0, 0), alone) << "information is shared";
}

TEST(Ensemble, PerturbLeavesTheFirstStreamAndInfinitiesAlone) {
  const Ensemble e{.reruns = 400, .S = 2};
  Matrix y = Matrix::Constant(e.rows(), 3, 5), squares(2, 3);
  y.col(1).setConstant(-INFINITY);
  const Matrix sigma = (Matrix(2, 3) << 0.5, 0, 0, 2, 0, 1).finished();
  for (int s = 0; s < 2; ++s) perturb_row(e, s, y, sigma.row(s).data(), 0, 3, 7, squares.row(s).data());
  EXPECT_EQ(y(0, 0), 5);
  EXPECT_EQ(y(1, 2), 5);
  EXPECT_TRUE((y.col(1).array() == -INFINITY).all());
  EXPECT_NEAR(squares(0, 0) / 400, 0.25, 0.1);
  EXPECT_NEAR(squares(1, 0) / 400, 4, 1.6);
  EXPECT_NEAR(squares(1, 2) / 400, 1, 0.4);
  EXPECT_EQ(squares(0, 1) + squares(1, 1) + squares(0, 2), 0);
}

TEST(Ensemble, OperandNoiseHasTheDeclaredSize) {
  const Ensemble e{.reruns = 200, .S = 3};
  const Matrix x = Matrix::Constant(e.rows(), 50, 3);
  EXPECT_TRUE(rounding_noise(e, x, Rounding::f32, Rounding::f32, 1, 2) == x);
  const Matrix own = rounding_noise(e, x, Rounding::f16, std::nullopt, 1, 2) - x;
  EXPECT_TRUE(own.topRows(3).isZero(0));
  EXPECT_NEAR(own.bottomRows(600).squaredNorm() / 30000 / (9 * 0x1p-22 / 3), 1, 0.05);
  const Matrix shared = rounding_noise(e, x, Rounding::f32, Rounding::f16, 1, 2) - x;
  EXPECT_EQ(shared(3, 7), shared(5, 7)) << "the rows of a stream share the weight";
  EXPECT_NE(shared(3, 7), shared(6, 7)) << "streams do not";
  const Matrix fixed = fixed_noise(e, x, 1) - x;
  EXPECT_TRUE(fixed.topRows(3).isZero(0));
  EXPECT_NEAR(fixed.bottomRows(600).squaredNorm() / 30000 / (0x1p-58 / 3), 1, 0.05);
}

}  // namespace
}  // namespace greta::reference
