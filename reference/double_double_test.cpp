#include "reference/double_double.hpp"

#include <gtest/gtest.h>

#include <random>

#include "datasets/test_seed.hpp"

namespace greta::reference {
namespace {

double size(DoubleDouble x) { return std::abs(x.high + x.low); }

TEST(DoubleDouble, HoldsWhatFloat64CannotAndUndoesItself) {
  std::mt19937_64 random(test_seed());
  std::normal_distribution<double> normal;
  for (int i = 0; i < 20000; ++i) {
    const auto a = two_product(normal(random), normal(random)),
               b = two_product(normal(random), normal(random));
    EXPECT_LT(size((a + b) - a - b), 1e-30 * (size(a) + size(b)));
    EXPECT_LT(size(a / b * b - a), 1e-30 * size(a));
    const auto root = sqrt(a * a);
    EXPECT_LT(size(root) - size(a), 1e-30 * size(a));
    EXPECT_LT(size(root * root - a * a), 1e-30 * size(a * a));
  }
  const DoubleDouble one = 1, tiny = 0x1p-80;
  EXPECT_EQ(((one + tiny) - one).value(), 0x1p-80);
}

TEST(DoubleDouble, ElementaryFunctionsByIdentities) {
  std::mt19937_64 random(test_seed());
  std::uniform_real_distribution<double> uniform(-40, 40);
  for (int i = 0; i < 500; ++i) {
    const DoubleDouble x = uniform(random), y = uniform(random);
    EXPECT_LT(size(exp(x) * exp(y) / exp(x + y) - DoubleDouble(1)), 1e-28);
    EXPECT_LT(size(log(exp(x)) - x), 1e-28);
    EXPECT_NEAR(exp(x).value() / std::exp(x.high), 1, 1e-15);
    const auto a = sine_cosine(x), b = sine_cosine(y), c = sine_cosine(x + y);
    EXPECT_LT(size(a.sine * a.sine + a.cosine * a.cosine - DoubleDouble(1)), 1e-29);
    EXPECT_LT(size(a.sine * b.cosine + a.cosine * b.sine - c.sine), 1e-28);
    EXPECT_NEAR(a.sine.value(), std::sin(x.high), 1e-15);
    EXPECT_NEAR(a.cosine.value(), std::cos(x.high), 1e-15);
  }
  const auto far = sine_cosine(100000.5);
  EXPECT_NEAR(far.sine.value(), std::sin(100000.5), 1e-15);
  EXPECT_EQ(exp(DoubleDouble(-INFINITY)).value(), 0);
}

}  // namespace
}  // namespace greta::reference
