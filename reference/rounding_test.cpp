#include "reference/rounding.hpp"

#include <gtest/gtest.h>

#include <random>

#include "datasets/test_seed.hpp"
#include "reference/dequantise.hpp"

namespace greta::reference {
namespace {

TEST(Rounding, EveryHalfIsItselfAndMiddlesGoToEven) {
  for (int bits = 0; bits < 0x7c00; ++bits) {
    const double value = half_value(static_cast<uint16_t>(bits));
    EXPECT_EQ(round_to(kF16, value), value);
    EXPECT_EQ(round_to(kF16, -value), -value);
    if (bits == 0x7bff) continue;
    const double next = half_value(static_cast<uint16_t>(bits + 1)), middle = (value + next) / 2;
    const double even = bits % 2 == 0 ? value : next;
    EXPECT_EQ(round_to(kF16, middle), even);
    EXPECT_EQ(round_to(kF16, std::nextafter(middle, 0.0)), value);
    EXPECT_EQ(round_to(kF16, -std::nextafter(middle, 1e9)), -next);
    EXPECT_EQ(ulp(kF16, value), next - value);
  }
}

TEST(Rounding, Overflow) {
  EXPECT_EQ(round_to(kF16, 65519.99), 65504);
  EXPECT_EQ(round_to(kF16, 65520), INFINITY);
  EXPECT_EQ(round_to(kF16, -1e300), -INFINITY);
  EXPECT_EQ(round_to(kF16, -INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(round_to(kF16, NAN)));
  EXPECT_EQ(round_to(kF32, 0x1.ffffffp127), INFINITY);
  EXPECT_TRUE(std::signbit(round_to(kF16, -0.0)));
  EXPECT_TRUE(std::signbit(round_to(kF16, -1e-300)));
}

TEST(Rounding, FloatIsTheHardwaresAndBfloatItsUpperHalf) {
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 200000; ++i) {
    const double value = std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52,
                                    static_cast<int>(random() % 290) - 155);
    EXPECT_EQ(round_to(kF32, value), static_cast<float>(value));
    const auto bits = static_cast<uint16_t>(random() % 0x7f7f);
    const double low = bfloat_value(bits), high = bfloat_value(static_cast<uint16_t>(bits + 1)),
                 middle = (low + high) / 2;
    EXPECT_EQ(round_to(kBf16, middle), bits % 2 == 0 ? low : high);
    EXPECT_EQ(round_to(kBf16, std::nextafter(middle, 0.0)), low);
    EXPECT_EQ(round_to(kBf16, std::nextafter(middle, 1e39)), high);
  }
}

TEST(Rounding, UnitRoundoffs) {
  EXPECT_EQ(unit_roundoff(Rounding::f32), 0x1p-24);
  EXPECT_EQ(unit_roundoff(Rounding::f16), 0x1p-11);
  EXPECT_EQ(unit_roundoff(Rounding::bf16), 0x1p-8);
}

}  // namespace
}  // namespace greta::reference
