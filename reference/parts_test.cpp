// The contract x=i32 w=parts against emulations of such kernels: nothing right is out of bound, the bounds
// are not idle, and what is wrong is out.
#include "reference/parts.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "datasets/quantise.hpp"
#include "datasets/test_seed.hpp"
#include "reference/parts_emulation.hpp"

namespace greta::reference {
namespace {

constexpr GgmlType kTypes[] = {GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K};

class Parts : public testing::Test {
 protected:
  const uint64_t seed_ = test_seed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("GRETA_TEST_SEED={}", seed_)};
  std::mt19937_64 random_{seed_};
};

float normal(std::mt19937_64& random) { return std::normal_distribution<float>()(random); }

struct Kind {
  std::string name;
  float (*value)(size_t k, std::mt19937_64& random);
};
const std::vector<Kind>& kinds() {
  using Random = std::mt19937_64;
  static const std::vector<Kind> all = {
      {"normal", [](size_t, Random& r) { return normal(r); }},
      {"outliers", [](size_t k, Random& r) { return normal(r) * (k % 97 == 5 ? 1000 : 1); }},
      {"one huge", [](size_t k, Random& r) { return normal(r) * (k == 77 ? 1e6f : 1); }},
      {"one sign", [](size_t, Random& r) { return 0.1f + std::abs(normal(r)); }},
      {"constant", [](size_t, Random&) { return 0.7f; }},
      {"constant, both signs", [](size_t k, Random&) { return k / 32 % 2 ? 0.7f : -0.7f; }},
      {"tiny", [](size_t, Random& r) { return 1e-30f * normal(r); }},
      {"small", [](size_t, Random& r) { return 1e-24f * normal(r); }},
      {"large", [](size_t, Random& r) { return 1e30f * normal(r); }},
      {"zeros", [](size_t k, Random& r) { return k % 50 == 3 ? normal(r) : 0; }},
      {"wide", [](size_t, Random& r) { return std::ldexp(normal(r), -static_cast<int>(r() % 30)); }},
      {"halves cancel", [](size_t k, Random& r) { return (k < 1024 ? 1 : -1) * (1 + 0.01f * normal(r)); }},
      {"sub-blocks cancel", [](size_t k, Random& r) { return (k % 2 ? 1 : -1) * (1 + 0.001f * normal(r)); }},
      {"nothing", [](size_t, Random&) { return 0.0f; }},
  };
  return all;
}

const Kind& kind_of(std::string_view name) {
  for (const auto& kind : kinds())
    if (kind.name == name) return kind;
  throw std::out_of_range(std::string(name));
}

std::vector<float> row_of(const Kind& kind, size_t columns, std::mt19937_64& random) {
  std::vector<float> x(columns);
  for (size_t k = 0; k < columns; ++k) x[k] = kind.value(k, random);
  return x;
}

// Quantised from a network's kind of weights, or any bytes with finite scales.
PartsRow weight_row(GgmlType type, size_t columns, bool any, std::mt19937_64& random) {
  std::vector<std::byte> bytes(static_cast<size_t>(packed_bytes(type, static_cast<int64_t>(columns))));
  if (any) {
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    const auto size = static_cast<size_t>(info(type).block_bytes);
    for (size_t at = 0; at < bytes.size(); at += size)
      for (const size_t high : type == GgmlType::Q6_K ? std::vector<size_t>{209} : std::vector<size_t>{1, 3})
        bytes[at + high] = static_cast<std::byte>(random() % 8 + 4);
  } else {
    std::vector<float> values(columns);
    for (float& value : values) value = 0.02f * normal(random);
    quantise(type, values, bytes);
  }
  const auto subs = columns / static_cast<size_t>(sub_block_of(type));
  PartsRow row{std::vector<double>(columns), std::vector<double>(subs), std::vector<double>(subs)};
  dequantise_parts(type, bytes, row.integers, row.scales, row.minima);
  return row;
}

struct Judged {
  Bounded bounded;
  Matrix actual;
  double ratio(const Matrix& bound) const {
    double worst = 0;
    for (Eigen::Index i = 0; i < actual.size(); ++i) {
      const double y = actual.data()[i], value = bounded.value.data()[i];
      if (y == value) continue;
      worst = std::max(worst, std::isfinite(y) ? std::abs(y - value) / bound.data()[i] : INFINITY);
    }
    return worst;
  }
  double expected() const { return ratio(bounded.expected); }
  double certain() const { return ratio(bounded.certain); }
};

Bounded bounds(const PartsRoute& route, const std::vector<float>& x, const std::vector<PartsRow>& w) {
  const std::vector<double> values(x.begin(), x.end());
  const FixedRow row(values.data(), static_cast<Eigen::Index>(x.size()), route.sub_block);
  auto errors = Errors::of_shape(1, static_cast<Eigen::Index>(w.size()));
  errors.linear.setConstant(kTiny);
  for (size_t j = 0; j < w.size(); ++j) {
    const auto at = static_cast<Eigen::Index>(j);
    const auto result =
        parts_product(row, {w[j].integers, w[j].scales, w[j].minima}, route.sub_block, route.sum(x.size()));
    errors.value(0, at) = result.value;
    errors.certain(0, at) = result.certain;
    errors.rms(0, at) = result.rms;
  }
  return judge(std::move(errors));
}

Judged run(const PartsRoute& route, const std::vector<float>& x, const std::vector<PartsRow>& w) {
  const auto own = fixed(x);
  Judged out{bounds(route, x, w), Matrix(1, static_cast<Eigen::Index>(w.size()))};
  for (size_t j = 0; j < w.size(); ++j)
    out.actual(0, static_cast<Eigen::Index>(j)) = emulated_product(route, own, w[j]);
  return out;
}

std::vector<PartsRow> weight(GgmlType type, size_t columns, size_t rows, bool any, std::mt19937_64& random) {
  std::vector<PartsRow> w;
  for (size_t j = 0; j < rows; ++j) w.push_back(weight_row(type, columns, any, random));
  return w;
}

// By hand: p = 29, X = 2^29, 1, 2 and 2 (ties to even); integers 1 to 4, scale 1/2, minimum 1/4.
TEST_F(Parts, KnownAnswers) {
  std::vector<double> x(32, 0.0);
  x[0] = 1;
  x[1] = 0x1p-29;
  x[2] = 0x1.8p-29;
  x[3] = 0x1.4p-28;
  const FixedRow row(x.data(), 32, 32);
  EXPECT_EQ(std::vector(row.value.begin(), row.value.begin() + 5),
            (std::vector{1.0, 0x1p-29, 0x1p-28, 0x1p-28, 0.0}));
  WeightParts w{std::vector<double>(32, 0.0), {0.5}, {0.25}};
  for (size_t k = 0; k < 4; ++k) w.integers[k] = static_cast<double>(k + 1);
  const auto got = parts_product(row, w, 32, 2);
  const double S = 0x1p29 + 2 + 6 + 8, X = 0x1p29 + 5, t = S / 2, m = X / 4, d = t - m;
  EXPECT_EQ(got.value, d * 0x1p-29);
  EXPECT_DOUBLE_EQ(got.certain, 4 * 0x1p-24 / (1 - 4 * 0x1p-24) * (t + m) * 0x1p-29);
  const double of_X = (3 * (0x1p58 + 9) + 2 * X * X) / 16;
  EXPECT_DOUBLE_EQ(got.rms, 0x1p-53 * std::sqrt(2 * t * t + 2 * m * m + of_X + 2 * d * d));
  w.minima[0] = 0;
  EXPECT_DOUBLE_EQ(parts_product(row, w, 32, 2).rms, 0x1p-53 * 2 * t);
  // Terms that cancel leave nothing: S is exact.
  x = std::vector<double>(32, 0.0);
  x[0] = 3, x[1] = -2;
  w.integers[0] = 2, w.integers[1] = 3;
  const auto nothing = parts_product(FixedRow(x.data(), 32, 32), w, 32, 2);
  EXPECT_EQ(nothing.value, 0);
  EXPECT_EQ(nothing.certain, kTiny);
}

// Equal sub-blocks make one error, whatever their sign.
TEST_F(Parts, EqualSubBlocksErrTogether) {
  std::vector<double> x(64);
  for (size_t k = 0; k < 32; ++k) x[k] = normal(random_), x[k + 32] = -x[k];
  const WeightParts w{std::vector<double>(64, 0.0), {1, 1}, {1, 1}};
  const FixedRow together(x.data(), 64, 32);
  EXPECT_EQ(together.blocks[1].same, 0u);
  auto apart = together;
  apart.blocks[1].same = 1;
  EXPECT_GT(parts_product(together, w, 32, 9).rms, 1.2 * parts_product(apart, w, 32, 9).rms);
}

// Sub-blocks of +D and −D by turns: two lanes sum up 32·D each, though the sum in the order of k is never
// more.
TEST_F(Parts, LanesThatCancelCount) {
  std::vector<double> x(2048);
  for (size_t k = 0; k < x.size(); ++k) x[k] = k / 32 % 2 ? -1 : 1;
  const WeightParts w{std::vector<double>(2048, 1.0), std::vector<double>(64, 1.0),
                      std::vector<double>(64, 0.0)};
  const double D = 32, got = parts_product(FixedRow(x.data(), 2048, 32), w, 32, 33).rms;
  EXPECT_DOUBLE_EQ(got, 0x1p-24 * std::sqrt(64 * 2 * D * D + 33 * 2 * (32 * D) * (32 * D)));
}

TEST_F(Parts, FixedPointIsWhatTheContractSays) {
  const auto exponent_of = [](std::vector<double> x) {
    return fixed_exponent(x.data(), static_cast<Eigen::Index>(x.size()));
  };
  EXPECT_EQ(exponent_of({-3, 1}), 28);
  EXPECT_EQ(exponent_of({0x1p-71}), 100);
  EXPECT_EQ(exponent_of({0x1p-149}), 100);
  EXPECT_EQ(exponent_of({0x1.fffffep127}), -98);
  EXPECT_EQ(exponent_of({0x1p500}), -100);
  EXPECT_EQ(exponent_of({0, -0.0}), 0);
  for (const auto& kind : kinds()) {
    const auto x = row_of(kind, 768, random_);
    const std::vector<double> values(x.begin(), x.end());
    const FixedRow row(values.data(), 768, 32, 16);
    const auto own = fixed(x);
    for (size_t k = 0; k < 768; ++k) {
      const double unit = std::ldexp(1.0, -own.p[k]);
      EXPECT_EQ(row.value[k], k < 752 ? static_cast<double>(own.X[k]) * unit : 0) << kind.name;
      EXPECT_LE(std::abs(own.X[k]), 1 << 30);
      if (k >= 752) continue;
      EXPECT_LE(std::abs(row.value[k] - values[k]), 0.5 * unit) << kind.name;
    }
  }
}

TEST_F(Parts, ARowThatIsNotFiniteIsNotANumber) {
  for (const double bad : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    std::vector<double> x(64, 1.0);
    x[40] = bad;
    const auto got =
        parts_product(FixedRow(x.data(), 64, 32), {std::vector<double>(64, 0.0), {1, 1}, {1, 1}}, 32, 9);
    EXPECT_TRUE(std::isnan(got.value));
  }
}

TEST_F(Parts, WhatIsRightIsInsideAndTheBoundIsNotIdle) {
  fmt::print("GRETA_TEST_SEED={}\n", seed_);
  std::map<std::string, std::array<double, 3>> worst;  // expected: least, most; certain
  for (const GgmlType type : kTypes) {
    for (const size_t columns : {256, 2048, 4096, 14336}) {
      for (const bool any : {false, true}) {
        const auto w = weight(type, columns, std::min<size_t>(200, 400000 / columns), any, random_);
        for (const auto& kind : kinds()) {
          const auto x = row_of(kind, columns, random_);
          for (int round = 0; round < 4; ++round) {
            const auto judged = run(PartsRoute::of(type).varied(random_), x, w);
            const double expected = judged.expected(), certain = judged.certain();
            const auto what = fmt::format("{} {}", info(type).name, kind.name);
            EXPECT_LE(expected, 1) << what << " K=" << columns;
            EXPECT_LE(certain, 1) << what << " K=" << columns;
            if (kind.name == "normal") {
              EXPECT_GE(expected, 0.015) << what << " K=" << columns << " is idle";
            }
            auto& row = worst.try_emplace(what, std::array{1e9, 0.0, 0.0}).first->second;
            row = {std::min(row[0], expected), std::max(row[1], expected), std::max(row[2], certain)};
          }
        }
      }
    }
  }
  for (const auto& [what, row] : worst)
    fmt::print("{:<28} worst error {:.3f} to {:.3f} of expected, {:.4f} of certain\n", what, row[0], row[1],
               row[2]);
}

// Integers of both signs whose products nearly cancel within each sub-block.
TEST_F(Parts, CancellingSubBlocksAreInside) {
  for (const GgmlType type : kTypes) {
    double worst = 0;
    for (int round = 0; round < 20; ++round) {
      auto w = weight(type, 1024, 40, false, random_);
      std::vector<float> x(1024);
      for (size_t k = 0; k < x.size(); k += 2) {
        x[k] = std::ldexp(normal(random_), -static_cast<int>(random_() % 14));
        x[k + 1] = -x[k] * (1 + 1e-4f * normal(random_));
        for (auto& row : w) row.integers[k + 1] = row.integers[k];
      }
      const auto judged = run(PartsRoute::of(type).varied(random_), x, w);
      EXPECT_LE(judged.certain(), 1);
      worst = std::max(worst, judged.expected());
    }
    EXPECT_LE(worst, 1) << info(type).name;
    fmt::print("{} cancelling: {:.3f} of expected\n", info(type).name, worst);
  }
}

// A fault of the contract's own kinds is out of bound in nearly every row.
TEST_F(Parts, WhatIsWrongIsOutside) {
  for (const GgmlType type : kTypes) {
    SCOPED_TRACE(info(type).name);
    const auto w = weight(type, 4096, 100, false, random_);
    auto route = PartsRoute::of(type);
    route.lanes = 32;
    const auto n = static_cast<size_t>(route.sub_block);
    using Faulty = std::function<float(const FixedX&, const PartsRow&)>;
    // Of several x: a share of 100 rows swings by as much as some thresholds lie below what is expected.
    const auto share_outside = [&](float largest, const Faulty& faulty) {
      constexpr int kRounds = 6;
      double outside = 0;
      for (int i = 0; i < kRounds; ++i) {
        auto x = row_of(kind_of("normal"), 4096, random_);
        x[77] = largest;
        const auto right = bounds(route, x, w);
        for (size_t j = 0; j < w.size(); ++j) {
          const auto at = static_cast<Eigen::Index>(j);
          outside += !(std::abs(faulty(fixed(x), w[j]) - right.value(0, at)) <= right.expected(0, at));
        }
      }
      return outside / static_cast<double>(kRounds * w.size());
    };
    const auto changed = [&](const std::function<void(PartsRow&, size_t b)>& change) {
      return share_outside(1, [&](const FixedX& x, PartsRow row) {
        change(row, random_() % row.scales.size());
        return emulated_product(route, x, row);
      });
    };
    const auto without_low_bits = [&](FixedX x, const PartsRow& row) {
      for (auto& X : x.X) X &= ~int64_t{0xffff};
      return emulated_product(route, x, row);
    };
    EXPECT_EQ(changed([](PartsRow&, size_t) {}), 0);
    EXPECT_GT(changed([](PartsRow& row, size_t b) { row.scales[b] *= 1 + 0x1p-12; }), 0.7);
    EXPECT_GT(changed([&](PartsRow& row, size_t b) { row.integers[b * n + 3] += 1; }), 0.9);
    EXPECT_GT(changed([](PartsRow& row, size_t b) { std::swap(row.scales[b], row.scales[b ^ 1]); }), 0.8);
    if (route.minima) {
      EXPECT_GT(changed([](PartsRow& row, size_t b) { row.minima[b] = 0; }), 0.8);
    }
    // Half the limbs of x; the last one is below f32's noise.
    EXPECT_GT(share_outside(1, without_low_bits), 0.9);
  }
}

// Numbers that no bytes stand behind are rounded to f32 each; whole ones are not.
TEST_F(Parts, NumbersThatAreNotWholeCountEach) {
  const auto x = row_of(kind_of("normal"), 1024, random_);
  const std::vector<double> values(x.begin(), x.end());
  const FixedRow row(values.data(), 1024, 32);
  const auto packed = weight_row(GgmlType::Q4_K, 1024, false, random_);
  const auto bound_of = [&](bool whole) {
    return parts_product(row, {packed.integers, packed.scales, packed.minima, whole}, 32, 20);
  };
  const auto whole = bound_of(true), other = bound_of(false);
  EXPECT_EQ(whole.value, other.value);
  EXPECT_GT(other.rms, whole.rms);
  EXPECT_GT(other.certain, whole.certain);
  EXPECT_LT(other.rms, 1.5 * whole.rms);
}

}  // namespace
}  // namespace greta::reference
