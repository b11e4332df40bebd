// The models of the matrix units: one rule after the other by numbers that follow from the rule alone, then
// all rules at once against the same arithmetic written as it reads, a term at a time in f64.
#include "kernels/hip/host_unit.hpp"

#include <gtest/gtest.h>

#include <array>

#include "kernels/card/unit_operands.hpp"
#include "kernels/hip/host_test_util.hpp"

namespace greta::kernels::host {
namespace {

using Terms = std::vector<std::pair<double, double>>;  // a[k], b[k] from k = 0 on; the rest are +0
constexpr uint32_t kInf = 0x7f800000, kMinus = 0x80000000, kLargest = 0x7f7fffff;

double p2(int e) { return std::ldexp(1.0, e); }
uint32_t bits(double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); }

template <Operand O>
uint16_t encode(double x) {
  const half_bits h = f32_to_operand_rn<O>(static_cast<float>(x));
  EXPECT_TRUE(x != x || operand_to_f32<O>(h) == x) << x << " is not exact: the test is wrong";
  return h;
}

// The bits of c + Σ a[k]·b[k], at an arbitrary place of a tile whose other places hold something else.
template <Operand O>
uint32_t dot(MatrixUnit unit, const Terms& terms, double c, int row = 5, int column = 9) {
  uint16_t a[kUnitCells], b[kUnitCells];
  float d[kUnitCells];
  for (int i = 0; i < kUnitCells; ++i) {
    a[i] = encode<O>(i / kUnitTile == row ? 0 : 1 + i % 7);
    b[i] = encode<O>(i % kUnitTile == column ? 0 : 1 + i % 5);
    d[i] = static_cast<float>(i);
  }
  for (size_t k = 0; k < terms.size(); ++k) {
    a[row * kUnitTile + static_cast<int>(k)] = encode<O>(terms[k].first);
    b[static_cast<int>(k) * kUnitTile + column] = encode<O>(terms[k].second);
  }
  d[row * kUnitTile + column] = static_cast<float>(c);
  const UnitProducts products = unit_products(unit);
  (O == Operand::f16 ? products.f16 : products.bf16)(a, b, d);
  return std::bit_cast<uint32_t>(d[row * kUnitTile + column]);
}

template <Operand O>
struct Of {
  static constexpr Operand operand = O;
};
template <class T>
struct UnitOf : testing::Test {
  static uint32_t hopper(const Terms& t, double c) { return dot<T::operand>(MatrixUnit::hopper, t, c); }
  static uint32_t cdna3(const Terms& t, double c) { return dot<T::operand>(MatrixUnit::cdna3, t, c); }
  static uint32_t cdna2(const Terms& t, double c) { return dot<T::operand>(MatrixUnit::cdna2, t, c); }
};
using BothTypes = testing::Types<Of<Operand::f16>, Of<Operand::bf16>>;
TYPED_TEST_SUITE(UnitOf, BothTypes);

// --- Hopper ---

TYPED_TEST(UnitOf, HopperKeeps25BitsUnderTheLargestExponent) {
  EXPECT_EQ(this->hopper({{1, -1}, {p2(-12), p2(-13)}}, 1), bits(p2(-25)));
  EXPECT_EQ(this->hopper({{1, -1}, {p2(-13), p2(-13)}}, 1), bits(0));
  EXPECT_EQ(this->hopper({{1, 1}, {1, -1}}, p2(-25)), bits(p2(-25)));  // c is one of the terms
  EXPECT_EQ(this->hopper({{1, 1}, {1, -1}}, p2(-26)), bits(0));
}

TYPED_TEST(UnitOf, HopperTakesAProductsExponentBeforeNormalising) {
  EXPECT_EQ(this->hopper({{1.5, 1.5}, {1.5, -1.5}}, p2(-25)), bits(p2(-25)));  // 2.25 counts as 2^0
  EXPECT_EQ(this->hopper({{1.5, 1.5}, {1.5, -1.5}}, p2(-26)), bits(0));
}

TYPED_TEST(UnitOf, HopperCutsTermsTowardZero) {
  EXPECT_EQ(this->hopper({{1, 1}, {1, -1}, {1.5 * p2(-12), -p2(-13)}}, 0), bits(-p2(-25)));
  EXPECT_EQ(this->hopper({{1, 1}, {1, -1}, {1.5 * p2(-12), p2(-13)}}, 0), bits(p2(-25)));
  EXPECT_EQ(this->hopper({{1, 1}, {1, -1}}, -1.5 * p2(-25)), bits(-p2(-25)));
}

TYPED_TEST(UnitOf, HopperCutsTheSumTowardZero) {
  EXPECT_EQ(this->hopper({{1.5 * p2(-12), p2(-12)}}, 1), bits(1));
  EXPECT_EQ(this->hopper({{-1.5 * p2(-12), p2(-12)}}, -1), bits(-1));
  EXPECT_EQ(this->hopper({{p2(-12), -p2(-13)}}, 1), bits(1 - p2(-24)));
  EXPECT_EQ(this->hopper({{1.5 * p2(-12), p2(-11)}}, 1), bits(1 + p2(-23)));
}

// Sixteen terms of a quarter of c's last place: one after the other they would all be lost.
TYPED_TEST(UnitOf, HopperAddsAllTermsAtOnce) {
  EXPECT_EQ(this->hopper(Terms(16, {p2(-12), p2(-13)}), 1), bits(1 + p2(-21)));
}

TYPED_TEST(UnitOf, HopperGivesZerosNoExponent) {
  const double c = p2(-30) * (1 + p2(-23));
  EXPECT_EQ(this->hopper({{0, p2(15)}, {p2(15), 0}, {-0.0, p2(15)}}, c), bits(c));
}

TEST(Unit, HopperGivesASubnormalItsTypesSmallestExponent) {
  const auto f16 = [](double c) {
    return dot<Operand::f16>(MatrixUnit::hopper, {{p2(-24), 1}, {p2(-24), -1}}, c);
  };
  EXPECT_EQ(f16(p2(-39)), bits(p2(-39)));  // −14 − 25
  EXPECT_EQ(f16(p2(-40)), bits(0));
  const auto bf16 = [](double c) {
    return dot<Operand::bf16>(MatrixUnit::hopper, {{p2(-133), p2(100)}, {p2(-133), -p2(100)}}, c);
  };
  EXPECT_EQ(bf16(p2(-51)), bits(p2(-51)));  // −126 + 100 − 25
  EXPECT_EQ(bf16(p2(-52)), bits(0));
}

TEST(Unit, HopperKeepsSubnormalAccumulatorsAndResults) {
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::hopper, {}, p2(-149)), 1u);
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::hopper, {}, -p2(-127)), kMinus | 0x400000);
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::hopper, {{p2(-24), p2(-24)}}, 0), bits(p2(-48)));
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::hopper, {{-1.5 * p2(-80), p2(-69)}}, 0), kMinus | 1);
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::hopper, {{-1.5 * p2(-80), p2(-70)}}, 0), 0u);  // no −0
}

// An H200 keeps nothing under 2^-158, where the largest exponent alone would.
TEST(Unit, HoppersLargestExponentIsAtLeastMinus133) {
  const auto less = [](int e) {
    return dot<Operand::bf16>(MatrixUnit::hopper, {{p2(-80), p2(-69)}, {-p2(-80), p2(e + 80)}}, 0);
  };
  EXPECT_EQ(less(-158), 0u);  // 2^-149 − 2^-158, cut toward zero
  EXPECT_EQ(less(-159), 1u);
}

TYPED_TEST(UnitOf, HoppersZeroIsPositive) {
  EXPECT_EQ(this->hopper(Terms(16, {-0.0, 1}), -0.0), 0u);
  EXPECT_EQ(this->hopper({{1, -1}}, 1), 0u);
  EXPECT_EQ(this->hopper({{1, 1}}, -1), 0u);
}

TYPED_TEST(UnitOf, HoppersInfinitiesAndNan) {
  EXPECT_EQ(this->hopper({{INFINITY, 1}}, 0), kInf);
  EXPECT_EQ(this->hopper({{-1, INFINITY}}, 0), kInf | kMinus);
  EXPECT_EQ(this->hopper({{1, 1}}, -INFINITY), kInf | kMinus);
  for (const uint32_t got :
       {this->hopper({{INFINITY, 0}}, 0), this->hopper({{INFINITY, 1}, {-INFINITY, 1}}, 0),
        this->hopper({{INFINITY, 1}}, -INFINITY), this->hopper({{NAN, 1}}, 0), this->hopper({}, -NAN)}) {
    EXPECT_EQ(got, 0x7fffffffu);
  }
}

TEST(Unit, HopperOverflowsToInfinityOnlyInTheResult) {
  const double largest = std::bit_cast<float>(kLargest);
  const auto with = [](const Terms& terms, double c) {
    return dot<Operand::bf16>(MatrixUnit::hopper, terms, c);
  };
  EXPECT_EQ(with({{p2(52), p2(51)}}, largest), kLargest);  // cut, where nearest would be infinite
  EXPECT_EQ(with({{p2(52), p2(52)}}, largest), kInf);
  EXPECT_EQ(with({{-p2(64), p2(64)}}, 0), kInf | kMinus);
  EXPECT_EQ(with({{p2(64), p2(64)}}, -p2(127)), bits(p2(127)));
  EXPECT_EQ(with({{p2(127), p2(127)}, {-p2(127), p2(127)}}, 1), 0u);  // 1 is far under 2^254
}

// --- CDNA3 ---

TYPED_TEST(UnitOf, Cdna3Keeps24BitsOfProductsTowardZero) {
  EXPECT_EQ(this->cdna3({{1, 1}, {1, -1}, {p2(-12), p2(-12)}}, 0), bits(p2(-24)));
  EXPECT_EQ(this->cdna3({{1, 1}, {1, -1}, {p2(-12), p2(-13)}}, 0), bits(0));
  EXPECT_EQ(this->cdna3({{1, 1}, {1, -1}, {p2(-12), -1.5 * p2(-12)}}, 0), bits(-p2(-24)));
  EXPECT_EQ(this->cdna3({{1.5, 1.5}, {1.5, -1.5}, {p2(-12), p2(-12)}}, 0), bits(p2(-24)));
}

TYPED_TEST(UnitOf, Cdna3SumsEightProductsAtATime) {
  Terms terms(16, {0, 0});
  terms[0] = {1, 1}, terms[7] = {1, -1}, terms[8] = {p2(-14), p2(-14)};
  EXPECT_EQ(this->cdna3(terms, 0), bits(p2(-28)));  // the second group, under its own largest
  std::swap(terms[7], terms[8]);
  EXPECT_EQ(this->cdna3(terms, 0), bits(0));  // −1 meets 1 + 2^-28, rounded to f32
  EXPECT_EQ(this->cdna3({{1, 1}, {p2(-12), p2(-12)}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {1, -1}}, 0),
            bits(p2(-24)));  // no rounding to f32 between them
}

// c odd in its last place, so that a tie goes to its neighbour and anything above it does not.
TYPED_TEST(UnitOf, Cdna3FloorsTheSumOfProductsAt31Bits) {
  const double odd = 1 + p2(-23);
  EXPECT_EQ(this->cdna3({{p2(-12), -p2(-12)}, {p2(-14), p2(-14)}}, odd), bits(odd));  // above the tie
  EXPECT_EQ(this->cdna3({{p2(-12), -p2(-12)}, {1.5 * p2(-14), p2(-14) * p2(-4)}}, odd), bits(1));   // floored
  EXPECT_EQ(this->cdna3({{p2(-12), p2(-12)}, {p2(-14), p2(-14) * p2(-3)}}, 1), bits(1 + p2(-23)));  // 2^-31
  EXPECT_EQ(this->cdna3({{p2(-12), p2(-12)}, {p2(-14), p2(-14) * p2(-4)}}, 1), bits(1));            // 2^-32
}

TYPED_TEST(UnitOf, Cdna3FloorsTheAccumulatorAt24Bits) {
  EXPECT_EQ(this->cdna3({{1, 1}}, -p2(-60)), bits(1 - p2(-24)));
  EXPECT_EQ(this->cdna3({{1, 1}}, p2(-60)), bits(1));
}

TYPED_TEST(UnitOf, Cdna3RoundsItsResultToNearestEven) {
  EXPECT_EQ(this->cdna3({{1.5 * p2(-12), p2(-12)}}, 1), bits(1 + p2(-23)));
  EXPECT_EQ(this->cdna3({{p2(-12), p2(-12)}}, 1), bits(1));
  EXPECT_EQ(this->cdna3({{p2(-12), p2(-12)}}, 1 + p2(-23)), bits(1 + p2(-22)));
}

TEST(Unit, Cdna3KeepsSubnormals) {
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::cdna3, {}, p2(-149)), 1u);
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::cdna3, {{p2(-24), p2(-24)}}, 0), bits(p2(-48)));
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna3, {{1.5 * p2(-80), p2(-69)}}, 0), 2u);
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna3, {{p2(-133), p2(-16)}}, 0), 1u);
}

TEST(Unit, Cdna3Overflows) {
  const double largest = std::bit_cast<float>(kLargest);
  const auto with = [](const Terms& terms, double c) {
    return dot<Operand::bf16>(MatrixUnit::cdna3, terms, c);
  };
  EXPECT_EQ(with({{p2(52), p2(51)}}, largest), kInf);  // a tie
  EXPECT_EQ(with({{p2(51), p2(51)}}, largest), kLargest);
  EXPECT_EQ(with({{p2(64), p2(64)}}, -p2(127)), kInf);  // the product alone is infinite
  EXPECT_EQ(with({{1.5 * p2(64), 1.5 * p2(63)}}, -p2(127)), kInf);
  EXPECT_EQ(with({{p2(64), p2(63)}, {p2(64), p2(63)}}, -p2(127)), bits(p2(127)));
  EXPECT_EQ(with({{p2(64), p2(64)}}, -INFINITY), kInf | kMinus);
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(with({{p2(64), p2(64)}, {-p2(64), p2(64)}}, 0))));
}

TYPED_TEST(UnitOf, Cdna3sInfinitiesAndNan) {
  EXPECT_EQ(this->cdna3({{-INFINITY, 1}}, 1), kInf | kMinus);
  EXPECT_EQ(this->cdna3({{1, INFINITY}}, 1), kInf);
  EXPECT_EQ(this->cdna3({{1, 1}}, INFINITY), kInf);
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(this->cdna3({{INFINITY, 0}}, 1))));
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(this->cdna3({{INFINITY, 1}}, -INFINITY))));
}

// --- CDNA2 ---

TYPED_TEST(UnitOf, Cdna2AddsPairsOfPairs) {
  EXPECT_EQ(this->cdna2({{p2(12), p2(12)}, {1, 1}, {1, 1}, {1, 1}}, 0), bits(p2(24) + 2));
  EXPECT_EQ(this->cdna2({{1, 1}, {1, 1}, {1, 1}, {p2(12), p2(12)}}, 0), bits(p2(24) + 2));
  EXPECT_EQ(this->cdna2({{p2(12), p2(12)}, {1, 1}, {-p2(12), p2(12)}, {1, 1}}, 0),
            bits(1));  // 2^24 + (1 − 2^24)
  EXPECT_EQ(this->cdna2({{1, 1}}, p2(24)), bits(p2(24)));
  // c last: 1 + 1 reaches it as 2; a group of its own for each 4.
  EXPECT_EQ(this->cdna2({{1, 1}, {1, 1}}, p2(24)), bits(p2(24) + 2));
  EXPECT_EQ(this->cdna2({{1, 1}, {0, 0}, {0, 0}, {0, 0}, {1, 1}}, p2(24)), bits(p2(24)));
}

TYPED_TEST(UnitOf, Cdna2RoundsToNearestEven) {
  EXPECT_EQ(this->cdna2({{1.5 * p2(-12), p2(-12)}}, 1), bits(1 + p2(-23)));
  EXPECT_EQ(this->cdna2({{p2(-12), p2(-12)}}, 1), bits(1));
  EXPECT_EQ(this->cdna2({{p2(-12), p2(-12)}}, 1 + p2(-23)), bits(1 + p2(-22)));
}

TEST(Unit, Cdna2FlushesSubnormals) {
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::cdna2, {{p2(-24), p2(10)}}, 0), 0u);
  EXPECT_EQ(dot<Operand::f16>(MatrixUnit::cdna2, {{p2(-14), p2(-14)}}, 0), bits(p2(-28)));
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, {{p2(-133), p2(100)}}, 0), 0u);
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, {{p2(-63), p2(-63)}}, p2(-127)), bits(p2(-126)));
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, Terms(16, {-p2(-70), p2(-60)}), -0.0), 0u);  // c read as +0
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, Terms(16, {-p2(-133), 1}), -0.0), 0u);       // read as +0
  // A sum of two products under 2^-126 before it meets c; and the last sum, flushed to a zero of its sign.
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, {{1.5 * p2(-63), p2(-63)}, {0, 0}, {-p2(-63), p2(-63)}},
                               p2(-126)),
            bits(p2(-126)));
  Terms last(16, {0, 0});
  last[12] = {-1.5 * p2(-63), p2(-63)};
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, last, p2(-126)), kMinus);
  Terms first(16, {-p2(-133), 1});  // +0 each
  first[0] = last[12];
  EXPECT_EQ(dot<Operand::bf16>(MatrixUnit::cdna2, first, p2(-126)), 0u);
}

TYPED_TEST(UnitOf, Cdna2sInfinitiesAndNan) {
  EXPECT_EQ(this->cdna2({{-INFINITY, 1}}, 1), kInf | kMinus);
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(this->cdna2({{INFINITY, 0}}, 1))));
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(this->cdna2({{INFINITY, 1}}, -INFINITY))));
}

// --- all rules at once ---

// value as ±significand · 2^exponent with the exponent that the units give it.
struct Term {
  double value;
  int exponent;
};
template <class Format>
Term product(uint16_t a, uint16_t b) {
  const auto exponent = [](uint16_t x) {
    const double size = std::fabs(number<Format>(x));
    return size == 0 ? -5000 : std::max(std::ilogb(size), 1 - Format::kBias);
  };
  return {number<Format>(a) * number<Format>(b), exponent(a) + exponent(b)};
}
Term accumulator(float c) { return {c, c == 0 ? -5000 : std::max(std::ilogb(c), -126)}; }

double cut(double x, int last) { return std::ldexp(std::trunc(std::ldexp(x, -last)), last); }
double floored(double x, int last) { return std::ldexp(std::floor(std::ldexp(x, -last)), last); }

template <class Format>
float slow_hopper(const uint16_t* a, const uint16_t* b, float c) {
  std::vector<Term> terms{accumulator(c)};
  for (int k = 0; k < kUnitTile; ++k) terms.push_back(product<Format>(a[k], b[k * kUnitTile]));
  int top = -133;
  for (const Term& t : terms) top = std::max(top, t.exponent);
  double sum = 0;  // at most 33 bits
  for (const Term& t : terms) sum += cut(t.value, top - 25);
  if (sum == 0) return 0;
  sum = cut(sum, std::max(std::ilogb(sum), -126) - 23);
  return sum == 0 ? 0.0f : static_cast<float>(sum);
}

template <class Format>
float slow_cdna3(const uint16_t* a, const uint16_t* b, float c) {
  for (int k0 = 0; k0 < kUnitTile; k0 += 8) {
    std::vector<Term> terms;
    double infinite = 0;
    for (int k = k0; k < k0 + 8; ++k) {
      terms.push_back(product<Format>(a[k], b[k * kUnitTile]));
      if (std::fabs(terms.back().value) >= 0x1p128) infinite += std::copysign(HUGE_VAL, terms.back().value);
    }
    if (infinite != 0) {  // NaN too
      c += static_cast<float>(infinite);
      continue;
    }
    int top = -9999;
    for (const Term& t : terms) top = std::max(top, t.exponent);
    double sum = 0;
    for (const Term& t : terms) sum += cut(t.value, top - 24);
    if (!std::isfinite(c)) continue;
    const Term acc = accumulator(c);
    const int high = std::max(top, acc.exponent);
    const double joined = floored(sum, high - 31) + floored(acc.value, high - 24);
    c = joined == 0 ? 0.0f : static_cast<float>(joined);
  }
  return c;
}

template <class Format>
float slow_cdna2(const uint16_t* a, const uint16_t* b, float c) {
  const auto flush = [](double x) {
    const float f = static_cast<float>(x);
    return static_cast<double>(std::fpclassify(f) == FP_SUBNORMAL ? std::copysign(0.0f, f) : f);
  };
  const auto read = [](uint16_t x) {
    const double value = number<Format>(x);
    return std::fabs(value) < std::ldexp(1.0, 1 - Format::kBias) ? 0.0 : value;
  };
  double sum = std::fabs(c) < 0x1p-126 ? 0.0 : static_cast<double>(c);
  for (int k = 0; k < kUnitTile; k += 4) {
    double p[4];
    for (int i = 0; i < 4; ++i) p[i] = flush(read(a[k + i]) * read(b[(k + i) * kUnitTile]));
    sum = flush(sum + flush(flush(p[0] + p[1]) + flush(p[2] + p[3])));
  }
  return static_cast<float>(sum);
}

template <class Format>
using Slow = float (*)(const uint16_t*, const uint16_t*, float);

template <class Format>
void expect_equal(TileProduct fast, Slow<Format> slow, const char* unit, unsigned seed) {
  for (int i = 0; i < 40 * card::kKindCount; ++i) {
    const auto kind = static_cast<card::Kind>(i % card::kKindCount);
    card::ProductTile t;
    card::TileMaker<Format>(kind, seed + static_cast<unsigned>(i)).make(t);
    float got[kUnitCells];
    std::copy(t.c, t.c + kUnitCells, got);
    fast(t.a, t.b, got);
    for (int cell = 0; cell < kUnitCells; ++cell) {
      const uint16_t *const a = t.a + cell / kUnitTile * kUnitTile, *const b = t.b + cell % kUnitTile;
      bool all_finite = std::isfinite(t.c[cell]);
      for (int k = 0; k < kUnitTile; ++k)
        all_finite &= std::isfinite(number<Format>(a[k])) && std::isfinite(number<Format>(b[k * kUnitTile]));
      if (!all_finite && unit != std::string("cdna2")) {
        double sum = t.c[cell];
        for (int k = 0; k < kUnitTile; ++k) sum += number<Format>(a[k]) * number<Format>(b[k * kUnitTile]);
        ASSERT_FALSE(std::isfinite(got[cell]));
        ASSERT_EQ(std::isnan(sum), std::isnan(got[cell]));
        continue;
      }
      const float want = slow(a, b, t.c[cell]);
      if (std::isnan(want) && std::isnan(got[cell])) continue;
      ASSERT_EQ(std::bit_cast<uint32_t>(got[cell]), std::bit_cast<uint32_t>(want))
          << unit << " " << card::kKinds[i % card::kKindCount] << " tile seed "
          << seed + static_cast<unsigned>(i) << " cell " << cell << ": " << got[cell] << " for " << want;
    }
  }
}

TEST(Unit, EveryKindOfOperandsAsTheRulesRead) {
  const unsigned seed = test_seed();
  expect_equal<F16Bits>(kHopperProducts.f16, slow_hopper<F16Bits>, "hopper", seed);
  expect_equal<Bf16Bits>(kHopperProducts.bf16, slow_hopper<Bf16Bits>, "hopper", seed);
  expect_equal<F16Bits>(kCdna3Products.f16, slow_cdna3<F16Bits>, "cdna3", seed);
  expect_equal<Bf16Bits>(kCdna3Products.bf16, slow_cdna3<Bf16Bits>, "cdna3", seed);
  expect_equal<F16Bits>(kCdna2Products.f16, slow_cdna2<F16Bits>, "cdna2", seed);
  expect_equal<Bf16Bits>(kCdna2Products.bf16, slow_cdna2<Bf16Bits>, "cdna2", seed);
}

// Same-sign sums come out low on Hopper, and not on the others.
TEST(Unit, OnlyHopperIsBiased) {
  const unsigned seed = test_seed();
  for (const MatrixUnit unit : {MatrixUnit::ieee, MatrixUnit::cdna2, MatrixUnit::cdna3, MatrixUnit::hopper}) {
    int low = 0, high = 0;
    for (unsigned i = 0; i < 20; ++i) {
      card::ProductTile t;
      card::TileMaker<F16Bits>(card::Kind::same_sign, seed + i).make(t);
      float got[kUnitCells];
      std::copy(t.c, t.c + kUnitCells, got);
      unit_products(unit).f16(t.a, t.b, got);
      for (int cell = 0; cell < kUnitCells; ++cell) {
        double exact = t.c[cell];
        for (int k = 0; k < kUnitTile; ++k)
          exact += number<F16Bits>(t.a[cell / kUnitTile * kUnitTile + k]) *
                   number<F16Bits>(t.b[k * kUnitTile + cell % kUnitTile]);
        low += got[cell] < exact;
        high += got[cell] > exact;
      }
    }
    if (unit == MatrixUnit::hopper) {
      EXPECT_EQ(high, 0);
      EXPECT_GT(low, 4000);
    } else {
      EXPECT_GT(high, 1500) << name_of(unit);
      EXPECT_GT(low, 1500) << name_of(unit);
    }
  }
}

TEST(Unit, NamesAreFoundAndOthersAreNot) {
  for (const char* const name : kMatrixUnits) {
    MatrixUnit unit{};
    EXPECT_TRUE(find_matrix_unit(name, unit));
    EXPECT_STREQ(name_of(unit), name);
  }
  MatrixUnit unit{};
  EXPECT_FALSE(find_matrix_unit("cdna1", unit));
  EXPECT_FALSE(find_matrix_unit("", unit));
}

}  // namespace
}  // namespace greta::kernels::host
