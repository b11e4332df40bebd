// The quantisers, judged by dequantisation written here from the formats' text.
#include "datasets/quantise.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "datasets/error.hpp"
#include "datasets/synthetic_random.hpp"
#include "datasets/tensor.hpp"
#include "datasets/test_seed.hpp"

namespace greta {
namespace {

using Values = std::vector<float>;
using Packed = std::vector<std::byte>;

float f16_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}
int u8(std::byte byte) { return std::to_integer<int>(byte); }
int i8(std::byte byte) { return static_cast<int8_t>(u8(byte)); }

// scale and min of sub-block j of 8, from the 12 bytes.
std::pair<int, int> scale_min(const std::byte* s, int j) {
  if (j < 4) return {u8(s[j]) & 63, u8(s[j + 4]) & 63};
  return {(u8(s[j + 4]) & 15) | (u8(s[j - 4]) >> 6) << 4, (u8(s[j + 4]) >> 4) | (u8(s[j]) >> 6) << 4};
}

Values unpack_k45(const std::byte* block, bool five) {
  Values out(256);
  const std::byte* qh = block + 16;
  const std::byte* qs = block + (five ? 48 : 16);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 32, l = i % 32;
    const auto [scale, min] = scale_min(block + 4, j);
    int q = u8(qs[j / 2 * 32 + l]) >> (j % 2 * 4) & 15;
    if (five) q |= (u8(qh[l]) >> j & 1) << 4;
    out[i] = f16_at(block) * scale * q - f16_at(block + 2) * min;
  }
  return out;
}

Values unpack_q6_k(const std::byte* block) {
  Values out(256);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const int low = u8(block[half * 64 + quarter % 2 * 32 + l]) >> (quarter / 2 * 4) & 15;
    const int high = u8(block[128 + half * 32 + l]) >> (quarter * 2) & 3;
    const int scale = i8(block[192 + half * 8 + l / 16 + quarter * 2]);
    out[i] = f16_at(block + 208) * scale * ((low | high << 4) - 32);
  }
  return out;
}

Values unpack_block(GgmlType type, const std::byte* block) {
  switch (type) {
    case GgmlType::Q4_K:
      return unpack_k45(block, false);
    case GgmlType::Q5_K:
      return unpack_k45(block, true);
    case GgmlType::Q6_K:
      return unpack_q6_k(block);
    default:
      break;
  }
  Values out(32);
  for (int i = 0; i < 32; ++i)
    out[i] = f16_at(block) *
             (type == GgmlType::Q8_0 ? i8(block[2 + i]) : (u8(block[2 + i % 16]) >> (i / 16 * 4) & 15) - 8);
  return out;
}

Values round_trip(GgmlType type, const Values& values) {
  Packed packed(static_cast<size_t>(packed_bytes(type, static_cast<int64_t>(values.size()))));
  quantise(type, values, packed);
  Values out;
  for (size_t at = 0; at < packed.size(); at += static_cast<size_t>(info(type).block_bytes)) {
    const auto block = unpack_block(type, packed.data() + at);
    out.insert(out.end(), block.begin(), block.end());
  }
  return out;
}

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "no error";
}

// Σ w·(x − x̂)² with the weights that the search uses, sub-block by sub-block.
double weighted_error(GgmlType type, const Values& x, const Values& y) {
  const size_t sub = type == GgmlType::Q6_K ? 16 : 32;
  double error = 0;
  for (size_t at = 0; at < x.size(); at += sub) {
    Values w(sub);
    k_quant_weights(std::span(x).subspan(at, sub), w);
    for (size_t i = 0; i < sub; ++i)
      error += double{w[i]} * (x[at + i] - y[at + i]) * (x[at + i] - y[at + i]);
  }
  return error;
}

// What min/max rounding gives, with the same block format: scales from the range, rounded to the format's
// integers.
Values naive(GgmlType type, const Values& x) {
  Values out;
  for (size_t at = 0; at < x.size(); at += 256) {
    const bool six = type == GgmlType::Q6_K;
    const int sub = six ? 16 : 32, count = 256 / sub;
    const float top = six ? 31 : type == GgmlType::Q5_K ? 31 : 15;
    Values scales(count), mins(count);
    for (int j = 0; j < count; ++j) {
      const auto [low, high] = std::minmax_element(&x[at + j * sub], &x[at + j * sub] + sub);
      mins[j] = six ? 0 : std::max(0.0f, -*low);
      scales[j] = six ? std::max(std::fabs(*low), std::fabs(*high)) / 32 : (*high + mins[j]) / top;
    }
    const float most = six ? 127 : 63;
    const float d = f16_to_f32(f32_to_f16(*std::ranges::max_element(scales) / most));
    const float dmin = f16_to_f32(f32_to_f16(*std::ranges::max_element(mins) / most));
    for (int i = 0; i < 256; ++i) {
      const int j = i / sub;
      const float scale = d * std::round(scales[j] / d);
      const float min = dmin > 0 ? dmin * std::round(mins[j] / dmin) : 0;
      const float q = std::clamp(std::round((x[at + i] + min) / scale), six ? -32.0f : 0.0f, top);
      out.push_back(scale * q - min);
    }
  }
  return out;
}

Values random_values(uint64_t seed, int64_t count, float scale, float shift = 0) {
  Values out(static_cast<size_t>(count));
  const RandomRow random(seed, "quantise_test", 0);
  for (int64_t i = 0; i < count; ++i) out[i] = scale * random.deviate(i) + shift;
  return out;
}

double relative_rms(const Values& x, const Values& y) {
  double off = 0, all = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    off += double{x[i] - y[i]} * (x[i] - y[i]);
    all += double{x[i]} * x[i];
  }
  return std::sqrt(off / all);
}

constexpr GgmlType kBlocks[] = {GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::Q4_K, GgmlType::Q5_K,
                                GgmlType::Q6_K};
constexpr GgmlType kSearched[] = {GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K};

// Each value is within half a step of its sub-block (plus what the 6-bit scales and the f16 lose), bounded
// through the range.
TEST(Quantise, RandomValuesComeBackWithinTheFormatsError) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("GRETA_TEST_SEED={}", seed));
  const std::map<GgmlType, double> most = {{GgmlType::Q8_0, 0.008},
                                           {GgmlType::Q4_0, 0.14},
                                           {GgmlType::Q4_K, 0.085},
                                           {GgmlType::Q5_K, 0.043},
                                           {GgmlType::Q6_K, 0.024}};
  for (const float scale : {1e-3f, 1.0f, 300.0f}) {
    const auto values = random_values(seed, 256 * 64, scale);
    for (const auto type : kBlocks) {
      const double error = relative_rms(values, round_trip(type, values));
      EXPECT_LT(error, most.at(type)) << info(type).name << " at " << scale;
      EXPECT_GT(error, most.at(type) / 4) << info(type).name << ": too good to be true";
    }
  }
}

TEST(Quantise, TheSearchBeatsMinMaxRounding) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("GRETA_TEST_SEED={}", seed));
  for (const auto type : kSearched) {
    double searched = 0, plain = 0;
    int worse = 0;
    constexpr int kBlockCount = 200;
    for (int block = 0; block < kBlockCount; ++block) {
      const auto values = random_values(seed + static_cast<uint64_t>(block), 256, 0.02f, block % 3 * 0.01f);
      const double a = weighted_error(type, values, round_trip(type, values));
      const double b = weighted_error(type, values, naive(type, values));
      searched += a;
      plain += b;
      worse += a > b;
    }
    fmt::print("{}: weighted squared error {:.3f} of min/max rounding's; worse in {} of {} blocks\n",
               info(type).name, searched / plain, worse, kBlockCount);
    EXPECT_LT(searched, 0.92 * plain) << info(type).name;
    EXPECT_LE(worse, kBlockCount / 20) << info(type).name;
  }
}

// Every code, scale and min of the format is reachable: values that the format holds exactly come back as
// they are.
TEST(Quantise, ExactValuesComeBackExactly) {
  Values k4(256), q6(256), q8(32), q4(32);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 32, l = i % 32;
    k4[i] = 0.25f * (63 - 6 * j) * (l % 16) - 0.5f * (63 - 5 * j);
    q6[i] = -0.125f * (i / 16 % 2 ? 127 - i / 16 : -128 + i / 16) * (i % 16 == 0 ? -32 : (i * 7) % 64 - 32);
  }
  for (int i = 0; i < 32; ++i) {
    q8[i] = 0.5f * (i == 3 ? 127 : i * 8 - 127);
    q4[i] = 2.0f * (i % 16 - 8);
  }
  EXPECT_EQ(round_trip(GgmlType::Q4_K, k4), k4);
  EXPECT_LT(relative_rms(q6, round_trip(GgmlType::Q6_K, q6)), 2e-3);
  EXPECT_EQ(round_trip(GgmlType::Q8_0, q8), q8);
  EXPECT_EQ(round_trip(GgmlType::Q4_0, q4), q4);
}

TEST(Quantise, ConstantsAndZeros) {
  for (const auto type : kBlocks) {
    EXPECT_EQ(round_trip(type, Values(256, 0.0f)), Values(256, 0.0f)) << info(type).name;
    for (const float value : {0.37f, -0.37f, 1e-3f, 60.0f})
      for (const float back : round_trip(type, Values(256, value)))
        ASSERT_NEAR(back, value, std::fabs(value) * 5e-3) << info(type).name;
    for (const float back : round_trip(type, Values(256, 1e-30f))) ASSERT_EQ(back, 0) << "below f16's scales";
  }
}

TEST(Quantise, OneOutlierKeepsItsValueAndTheOtherSubBlocksTheirs) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("GRETA_TEST_SEED={}", seed));
  for (const auto type : kSearched) {
    for (const float outlier : {40.0f, -40.0f}) {
      auto values = random_values(seed, 256, 1);
      values[77] = outlier;
      const auto back = round_trip(type, values);
      EXPECT_NEAR(back[77], outlier, 0.04 * 40) << info(type).name;
      for (int i = 0; i < 256; ++i)
        ASSERT_LT(std::fabs(back[i] - values[i]), 3.5) << info(type).name << " at " << i;
    }
  }
}

TEST(Quantise, HalvesRoundToNearest) {
  const Values values = {1.0f, 1.0f + 0x1p-11f, 1.0f + 3 * 0x1p-11f, -65504.0f};
  Packed packed(8);
  quantise(GgmlType::F16, values, packed);
  const Values expected = {1.0f, 1.0f, 1.0f + 2 * 0x1p-10f, -65504.0f};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(f16_at(packed.data() + 2 * i), expected[i]) << i;
  quantise(GgmlType::BF16, Values{1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f, 3e38f, -0.0f}, packed);
  const uint16_t bits[] = {0x3f80, 0x3f82, 0x7f62, 0x8000};
  EXPECT_EQ(std::memcmp(packed.data(), bits, 8), 0);
}

TEST(Quantise, WhatCannotBeStoredIsRefused) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const auto attempt = [](GgmlType type, float value) {
    Values values(256, 1.0f);
    values[200] = value;
    Packed packed(static_cast<size_t>(packed_bytes(type, 256)));
    return error_of([&] { quantise(type, values, packed); });
  };
  for (const auto type : {GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q4_0,
                          GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K}) {
    for (const float value : {kNan, kInfinity, -kInfinity})
      EXPECT_THAT(attempt(type, value), testing::HasSubstr("value 200 to quantise")) << info(type).name;
    EXPECT_EQ(attempt(type, 2.0f), "no error");
  }
  for (const auto type : {GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K})
    for (const float value : {3e38f, -3e38f})
      EXPECT_THAT(attempt(type, value), testing::HasSubstr("beyond")) << info(type).name;
  Packed small(3);
  EXPECT_THROW(quantise(GgmlType::Q8_0, Values(32), small), Error);
  EXPECT_THROW(packed_bytes(GgmlType::Q4_K, 128), Error);
}

}  // namespace
}  // namespace greta
