// The f16 half of a sum is followed step by step: every order of f32 for the rest is inside, a step of f16
// done otherwise is not, and what overflows is infinite.
#include "reference/half_sum.hpp"

#include <gtest/gtest.h>

#include "datasets/test_seed.hpp"
#include "reference/float_kernels.hpp"

namespace greta::reference {
namespace {

struct Operands {
  Matrix x, w;
};

Operands random_operands(std::mt19937_64& random, double scale, bool half) {
  std::normal_distribution<double> deviate;
  const auto value = [&](double size) {
    const auto f = static_cast<float>(deviate(random) * size);
    return static_cast<double>(half ? to_f16(f) : f);
  };
  const auto terms = static_cast<Eigen::Index>(2 + random() % 400);
  return {Matrix::NullaryExpr(3, terms, [&] { return value(scale); }),
          Matrix::NullaryExpr(29, terms, [&] { return value(1); })};
}

std::vector<float> part(const Matrix& m, Eigen::Index row, Eigen::Index begin, Eigen::Index end) {
  std::vector<float> out;
  for (auto k = begin; k < end; ++k) out.push_back(static_cast<float>(m(row, k)));
  return out;
}

// s = f16(s + w·x), in one of the ways that f32 hardware has; the rest from s on or by itself.
float half_then_rest(const Operands& o, Eigen::Index i, Eigen::Index j, const Summation& order, bool fused) {
  const Eigen::Index terms = o.x.cols(), half = terms / 2;
  float s = 0;
  for (Eigen::Index k = 0; k < half; ++k) {
    const auto w = static_cast<float>(o.w(j, k)), x = static_cast<float>(o.x(i, k));
    s = to_f16(fused ? std::fma(w, x, s) : s + w * x);
  }
  return s + order.dot(part(o.w, j, half, terms), part(o.x, i, half, terms));
}

TEST(HalfSum, EveryWayOfDoingItIsInside) {
  std::mt19937_64 random(test_seed());
  int elements = 0, doubtful = 0;
  for (int round = 0; round < 60; ++round) {
    const auto& order = summations()[random() % summations().size()];
    const bool half = random() % 2 == 0, fused = random() % 2 == 0;
    const auto o = random_operands(random, 1, half);
    const double chain = order.chain(static_cast<int>(o.x.cols()));
    auto errors = Errors::of_shape(3, 29);
    half_sum_products(DotOperand(o.x), o.w, {.chain = chain}, errors, 0);
    const Matrix linear = errors.linear;
    const auto bounded = judge(std::move(errors));
    for (Eigen::Index i = 0; i < 3; ++i) {
      for (Eigen::Index j = 0; j < 29; ++j, ++elements) {
        const double y = half_then_rest(o, i, j, order, fused);
        EXPECT_LE(std::abs(y - bounded.value(i, j)), bounded.expected(i, j)) << order.name << o.x.cols();
        doubtful += linear(i, j) > 1e-5;
      }
    }
  }
  EXPECT_LT(doubtful, elements / 4) << "a wide bound explains anything";
}

TEST(HalfSum, AStepDoneOtherwiseIsOutside) {
  std::mt19937_64 random(test_seed());
  int outside_f32 = 0, outside_late = 0, elements = 0;
  for (int round = 0; round < 30; ++round) {
    auto o = random_operands(random, 1, true);
    if (o.x.cols() < 64) continue;
    auto errors = Errors::of_shape(3, 29);
    half_sum_products(DotOperand(o.x), o.w, {.chain = 400}, errors, 0);
    const auto bounded = judge(std::move(errors));
    for (Eigen::Index j = 0; j < 29; ++j, ++elements) {
      const Eigen::Index terms = o.x.cols();
      const float plain = summations()[0].dot(part(o.w, j, 0, terms), part(o.x, 0, 0, terms));
      outside_f32 += std::abs(plain - bounded.value(0, j)) > bounded.expected(0, j);
      float s = 0;  // all terms in f16
      for (Eigen::Index k = 0; k < terms; ++k)
        s = to_f16(s + static_cast<float>(o.w(j, k)) * static_cast<float>(o.x(0, k)));
      outside_late += std::abs(s - bounded.value(0, j)) > bounded.expected(0, j);
    }
  }
  EXPECT_GT(outside_f32, elements * 3 / 4);
  EXPECT_GT(outside_late, elements * 3 / 4);
}

TEST(HalfSum, OverflowIsInfinite) {
  std::mt19937_64 random(test_seed());
  const auto o = random_operands(random, 1e5, false);
  auto errors = Errors::of_shape(3, 29);
  half_sum_products(DotOperand(o.x), o.w, {.chain = 400}, errors, 0);
  const auto bounded = judge(std::move(errors));
  int infinite = 0;
  for (Eigen::Index i = 0; i < 3; ++i) {
    for (Eigen::Index j = 0; j < 29; ++j) {
      const double y = half_then_rest(o, i, j, summations()[0], false);
      infinite += std::isinf(y);
      if (std::isinf(y)) {
        EXPECT_EQ(y, bounded.value(i, j));
      } else {
        EXPECT_LE(std::abs(y - bounded.value(i, j)), bounded.expected(i, j));
      }
    }
  }
  EXPECT_GT(infinite, 0);
}

}  // namespace
}  // namespace greta::reference
