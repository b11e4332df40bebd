// The error models of matrix units against emulations of them: nothing right is out of bound, the bounds are
// not idle, and a unit judged as another one is out.
#include "reference/unit.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "datasets/test_seed.hpp"
#include "reference/dot.hpp"
#include "reference/rounding.hpp"
#include "reference/unit_emulation.hpp"

namespace greta::reference {
namespace {

constexpr Unit kUnits[] = {Unit::cdna2, Unit::cdna3, Unit::hopper};

struct Kind {
  std::string name;
  void (*fill)(Matrix& x, Matrix& w, std::mt19937_64& random);
};

double normal(std::mt19937_64& random) { return std::normal_distribution<double>()(random); }
double uniform(std::mt19937_64& random) { return std::uniform_real_distribution<double>(0.1, 1)(random); }

void each(Matrix& m, const std::function<double(Eigen::Index k)>& value) {
  for (Eigen::Index i = 0; i < m.rows(); ++i)
    for (Eigen::Index k = 0; k < m.cols(); ++k) m(i, k) = value(k);
}

// Activations with outlier channels, weights of 16 levels a sub-block.
void network_like(Matrix& x, Matrix& w, std::mt19937_64& random) {
  each(x, [&](Eigen::Index k) { return normal(random) * (k % 97 == 5 ? 40 : 1); });
  double scale = 0.02;
  each(w, [&](Eigen::Index k) {
    if (k % 32 == 0) scale = 0.02 * std::exp(0.3 * normal(random));
    return scale * (std::round(std::clamp(normal(random) * 3, -7.0, 7.0)) + 0.25);
  });
}
void one_sign(Matrix& x, Matrix& w, std::mt19937_64& random) {
  each(x, [&](Eigen::Index) { return uniform(random); });
  each(w, [&](Eigen::Index) { return uniform(random); });
}
void any_sign(Matrix& x, Matrix& w, std::mt19937_64& random) {
  each(x, [&](Eigen::Index) { return normal(random); });
  each(w, [&](Eigen::Index) { return normal(random); });
}
// Exponents all over f16's range, subnormal numbers and zeros among them.
void wide(Matrix& x, Matrix& w, std::mt19937_64& random) {
  const auto value = [&](Eigen::Index) {
    if (random() % 16 == 0) return 0.0;
    return std::ldexp(normal(random), static_cast<int>(random() % 28) - 20);
  };
  each(x, value);
  each(w, value);
}
void subnormal(Matrix& x, Matrix& w, std::mt19937_64& random) {
  each(x, [&](Eigen::Index) { return std::ldexp(normal(random), -16 - static_cast<int>(random() % 8)); });
  each(w, [&](Eigen::Index) { return normal(random); });
}
// The second half undoes the first to one part in a thousand.
void cancelling(Matrix& x, Matrix& w, std::mt19937_64& random) {
  one_sign(x, w, random);
  const Eigen::Index half = x.cols() / 2;
  x.rightCols(half) = -x.leftCols(half);
  for (Eigen::Index j = 0; j < w.rows(); ++j)
    for (Eigen::Index k = 0; k < half; ++k) w(j, w.cols() - half + k) = w(j, k) * (1 + 1e-3 * normal(random));
}
// One large term first: all others are cut at its size.
void shadowed(Matrix& x, Matrix& w, std::mt19937_64& random) {
  one_sign(x, w, random);
  x.col(0).setConstant(3000);
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"network", network_like}, {"one sign", one_sign},     {"any sign", any_sign}, {"wide", wide},
      {"subnormal", subnormal},  {"cancelling", cancelling}, {"shadowed", shadowed}};
  return all;
}

struct Case {
  Matrix x, w, actual;
};

std::vector<double> row_of(const Matrix& m, Eigen::Index i) {
  return {m.row(i).data(), m.row(i).data() + m.cols()};
}

Case run(Unit unit, Rounding type, const Kind& kind, int terms, size_t parts, std::mt19937_64& random,
         size_t width = 4) {
  Case out{Matrix(terms > 4000 ? 4 : 8, terms), Matrix(std::clamp(30000 / terms, 6, 60), terms), {}};
  kind.fill(out.x, out.w, random);
  out.x = rounded(type, out.x);
  out.w = rounded(type, out.w);
  out.actual.resize(out.x.rows(), out.w.rows());
  for (Eigen::Index i = 0; i < out.x.rows(); ++i)
    for (Eigen::Index j = 0; j < out.w.rows(); ++j)
      out.actual(i, j) = unit_dot(unit, row_of(out.x, i), row_of(out.w, j), type, parts, width);
  return out;
}

Bounded bounds(const Case& data, Unit unit, Rounding type, double chain) {
  auto errors = Errors::of_shape(data.x.rows(), data.w.rows());
  if (leans(unit)) errors.lean = errors.value;
  dot_products(DotOperand(taken(unit, type, data.x), least_magnitude(unit, type)), taken(unit, type, data.w),
               {.chain = chain, .unit = unit, .type = type}, errors, 0);
  return judge(std::move(errors));
}

double worst_ratio(const Matrix& actual, const Bounded& bounded, const Matrix& bound) {
  double worst = 0;
  for (Eigen::Index i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual.data()[i] - bounded.value.data()[i]);
    if (!(error <= 0)) worst = std::max(worst, std::isnan(error) ? INFINITY : error / bound.data()[i]);
  }
  return worst;
}

TEST(Unit, WhatIsRightIsInsideAndTheBoundIsNotIdle) {
  std::mt19937_64 random(test_seed());
  std::map<std::string, double> expected, certain;
  for (const Unit unit : kUnits) {
    for (const Rounding type : {Rounding::f16, Rounding::bf16}) {
      for (const auto& kind : kinds()) {
        for (const int terms : {16, 40, 128, 512, 1000, 4096, 14336}) {
          const size_t parts = terms > 100 && random() % 2 ? 2 + random() % 7 : 1;
          const size_t width = type == Rounding::bf16 && random() % 2 ? 2 : 4;
          const auto data = run(unit, type, kind, terms, parts, random, width);
          const auto bounded = bounds(data, unit, type, unit_chain(static_cast<size_t>(terms), parts));
          const auto what = fmt::format("{} {}", name_of(unit), kind.name);
          const double ratio = worst_ratio(data.actual, bounded, bounded.expected);
          const double of_certain = worst_ratio(data.actual, bounded, bounded.certain);
          EXPECT_LE(ratio, 1) << what << " " << name_of(type) << " K=" << terms << " parts " << parts;
          EXPECT_LE(of_certain, 1) << what << " " << name_of(type) << " K=" << terms << " parts " << parts;
          EXPECT_TRUE((bounded.expected.array() <= bounded.certain.array()).all());
          if (kind.name == "network" && terms >= 64) {
            EXPECT_GE(ratio, 0.02) << what << " " << name_of(type) << " K=" << terms << " is idle";
          }
          expected[what] = std::max(expected[what], ratio);
          certain[what] = std::max(certain[what], of_certain);
        }
      }
    }
  }
  for (const auto& [what, ratio] : expected)
    fmt::print("{:<20} worst error {:.3f} of expected, {:.4f} of certain\n", what, ratio, certain[what]);
}

TEST(Unit, TwiceTheBoundIsOutside) {
  std::mt19937_64 random(test_seed());
  for (const Unit unit : kUnits) {
    const auto data = run(unit, Rounding::f16, kinds()[0], 1024, 1, random);
    const auto bounded = bounds(data, unit, Rounding::f16, 1024);
    for (const Matrix* bound : {&bounded.expected, &bounded.certain}) {
      Matrix moved = bounded.value + 2.01 * *bound;
      for (Eigen::Index i = 0; i < moved.size(); ++i)
        EXPECT_GT(std::abs(static_cast<float>(moved.data()[i]) - bounded.value.data()[i]), bound->data()[i]);
    }
  }
}

// The model matters: what Hopper gives for terms of one sign is wrong for a chain of IEEE additions as long
// as its blocks, and for the other units; CDNA2's flushed operands are wrong for any other.
TEST(Unit, JudgedAsAnotherUnitItIsOut) {
  std::mt19937_64 random(test_seed());
  const auto& one_sign_kind = kinds()[1];
  const auto hopper = run(Unit::hopper, Rounding::f16, one_sign_kind, 14336, 1, random);
  const auto out_of = [&](const Case& data, Unit unit, Rounding type) {
    const auto bounded = bounds(data, unit, type, 14336);
    return worst_ratio(data.actual, bounded, bounded.expected);
  };
  EXPECT_GT(out_of(hopper, Unit::ieee, Rounding::f16), 1);
  EXPECT_GT(out_of(hopper, Unit::cdna2, Rounding::f16), 2);
  EXPECT_GT(out_of(hopper, Unit::cdna3, Rounding::f16), 3);
  EXPECT_LE(out_of(hopper, Unit::hopper, Rounding::f16), 1);
  const auto small = run(Unit::cdna2, Rounding::f16, kinds()[4], 14336, 1, random);
  EXPECT_GT(out_of(small, Unit::ieee, Rounding::f16), 100);
  EXPECT_GT(out_of(small, Unit::hopper, Rounding::f16), 10);
}

// The mean error of the model is the unit's, within a half, where sums grow in a straight line; and what its
// sample leaves open.
TEST(Unit, TheDeclaredMeanIsTheMean) {
  std::mt19937_64 random(test_seed());
  for (const Unit unit : {Unit::hopper, Unit::cdna3}) {
    for (const Rounding type : {Rounding::f16, Rounding::bf16}) {
      for (const int terms : {128, 512, 1024, 4096, 14336}) {
        const auto data = run(unit, type, kinds()[1], terms, 1, random);
        const auto bounded = bounds(data, unit, type, unit_chain(static_cast<size_t>(terms), 1));
        const Matrix errors = data.actual - bounded.value;
        const double mean = errors.mean(), declared = bounded.lean.mean(),
                     n = static_cast<double>(errors.size());
        const double doubt = 5 * std::sqrt((errors.array() - mean).square().sum() / (n * (n - 1)));
        EXPECT_LT(std::abs(mean - declared), 0.5 * std::abs(declared) + doubt)
            << name_of(unit) << " " << name_of(type) << " K=" << terms;
        EXPECT_LE(declared, 0);
        if (unit == Unit::hopper) {
          EXPECT_GT(std::abs(mean), doubt) << "the mean shows at all";
        }
        const double size = bounded.value.mean();
        fmt::print("{} {} K={}: mean error {:.3g} ± {:.1g} of Σ|p|, declared {:.3g}\n", name_of(unit),
                   name_of(type), terms, mean / size, doubt / size, declared / size);
      }
    }
  }
  const Matrix x = Matrix::Ones(1, 32);
  auto none = Errors::of_shape(1, 1);
  dot_products(DotOperand(x), x, {.chain = 32}, none, 0);
  EXPECT_EQ(judge(std::move(none)).lean.size(), 0);
}

// The emulation itself, by hand.
TEST(UnitEmulation, Hopper) {
  const auto block = [](double c, std::vector<double> a, std::vector<double> b) {
    return hopper_block(c, a, b, Rounding::f16);
  };
  EXPECT_EQ(block(0, {1, 1}, {1, -1}), 0);
  EXPECT_EQ(block(1, {0x1p-13}, {0x1p-12}), 1) << "2^-25 is kept and then cut in f32";
  EXPECT_EQ(block(1, {0x1p-13, 0x1p-13, -1}, {0x1p-12, 0x1p-12, 1}), 0x1p-24);
  EXPECT_EQ(block(1, {0x1p-13, 0x1p-13, -1}, {0x1p-13, 0x1p-13, 1}), 0) << "2^-26 is not";
  EXPECT_EQ(block(-1, {0x1p-12}, {-0x1p-12}), -1) << "toward zero";
  EXPECT_EQ(block(0, {0x1p-24}, {1}), 0x1p-24) << "subnormal operands count";
  EXPECT_EQ(block(0, {0x1p-24, 0x1p-14}, {0x1p-14, 0x1p-14}), 0x1p-28 + 0x1p-38);
}

TEST(UnitEmulation, Cdna) {
  const std::vector<double> ones(8, 1.0), tiny = {1, 0x1p-13, 0, 0, 0, 0, 0, 0},
                                          other = {1, -0x1p-12, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(cdna3_group(0, ones, ones, Rounding::f16), 8);
  EXPECT_EQ(cdna3_group(0, tiny, other, Rounding::f16), 1) << "-2^-25 is cut toward zero";
  EXPECT_EQ(cdna3_group(-0x1p-26, ones, ones, Rounding::f16), 8);
  const std::vector<double> x = {0x1p-15, 1, 1, 0x1p-12}, y = {1, 1, 0x1p-12, 0x1p-12};
  EXPECT_EQ(cdna2_tree(0, x, y, Rounding::f16, 4), 1 + 0x1p-12) << "ties to even, no subnormals";
  const std::vector<double> late = {1, 0, 0x1p-12, 0x1p-12};
  EXPECT_EQ(cdna2_tree(0, late, late, Rounding::f16, 4), 1 + 0x1p-23) << "the second pair first";
  const std::vector<double> third = {0, 0, 0x1p-12, 0};
  EXPECT_EQ(cdna2_tree(1, late, third, Rounding::f16, 4), 1);
}

}  // namespace
}  // namespace greta::reference
