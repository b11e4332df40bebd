// Many at once are what one by one are, to the sign of a zero.
#include "reference/narrow.hpp"

#include <gtest/gtest.h>

#include <random>

#include "datasets/test_seed.hpp"

namespace greta::reference {
namespace {

constexpr Rounding kTypes[] = {Rounding::f32, Rounding::f16, Rounding::bf16};

// Of every size that a weight or an activation has and beyond, near the middles of f16 and bf16 among them.
std::vector<double> values(std::mt19937_64& random, size_t count) {
  std::vector<double> out = {0.0,     -0.0,      65519.99, 65520,     -65520, 0x1.fffffep127, 0x1.ffffffp127,
                             1e300,   -1e300,    INFINITY, -INFINITY, NAN,    0x1p-149,       0x1p-150,
                             0x1p-14, 0x1.8p-25, 0x1p-126, -0x1p-127, 1e-320, 0x1p-133};
  while (out.size() < count) {
    const double fraction = 1.0 + static_cast<double>(random() >> 12) * 0x1p-52;
    double value = std::ldexp(fraction, static_cast<int>(random() % 290) - 155);
    if (random() % 2) {
      const Format& format = random() % 2 ? kF16 : kBf16;
      value = round_to(format, value) + ulp(format, value) / 2 * (random() % 2 ? 1 : -1);
      value += ulp(kF32, value) * 0.25 * static_cast<double>(static_cast<int>(random() % 17) - 8);
    }
    out.push_back(random() % 2 ? value : -value);
  }
  return out;
}

TEST(Narrow, ManyAreRoundedAsOneIs) {
  std::mt19937_64 random(test_seed());
  const auto in = values(random, 50003);
  std::vector<double> out(in.size());
  for (const Rounding type : kTypes)
    for (const Unit unit : {Unit::ieee, Unit::cdna2, Unit::hopper})
      for (const bool through_f32 : {false, true}) {
        take(unit, type, through_f32, in, out);
        for (size_t i = 0; i < in.size(); ++i) {
          const double right = taken(unit, type, through_f32 ? round_to(kF32, in[i]) : in[i]);
          ASSERT_TRUE(std::isnan(right) ? std::isnan(out[i]) : out[i] == right) << in[i] << " " << out[i];
          ASSERT_EQ(std::signbit(out[i]), std::signbit(right)) << in[i];
        }
      }
}

TEST(Narrow, ABlockWithoutDoubtHasNone) {
  std::mt19937_64 random(test_seed());
  const auto in = values(random, 50003);
  std::vector<double> narrow(in.size());
  for (const Rounding type : kTypes) {
    take(Unit::ieee, type, true, in, narrow);
    int64_t doubtful = 0;
    for (size_t i = 0; i < in.size(); ++i) {
      const bool one = type != Rounding::f32 && may_round_either_way(format_of(type), in[i], narrow[i]);
      ASSERT_EQ(any_may_round_either_way(type, std::span(in).subspan(i, 1), std::span(narrow).subspan(i, 1)),
                one)
          << in[i];
      doubtful += one;
    }
    if (type == Rounding::f32) continue;
    EXPECT_GT(doubtful, 1000) << "the values lie where doubts are";
    EXPECT_TRUE(any_may_round_either_way(type, in, narrow));
  }
}

}  // namespace
}  // namespace greta::reference
