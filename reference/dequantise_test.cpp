// Blocks made by hand from the formats' description, each field where it must be.
#include "reference/dequantise.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"

namespace greta::reference {
namespace {

using Bytes = std::vector<uint8_t>;

std::vector<double> unpack(GgmlType type, const Bytes& bytes, size_t count) {
  std::vector<double> out(count);
  dequantise(type, std::as_bytes(std::span(bytes)), out);
  return out;
}

struct Apart {
  std::vector<double> integers, scales, minima;
};
Apart take_apart(GgmlType type, const Bytes& bytes, size_t count) {
  const size_t subs = count / static_cast<size_t>(sub_block_of(type));
  Apart out{std::vector<double>(count), std::vector<double>(subs), std::vector<double>(subs)};
  dequantise_parts(type, std::as_bytes(std::span(bytes)), out.integers, out.scales, out.minima);
  return out;
}

void put_half(Bytes& bytes, size_t at, uint16_t half) {
  bytes[at] = static_cast<uint8_t>(half);
  bytes[at + 1] = static_cast<uint8_t>(half >> 8);
}
constexpr uint16_t kHalf = 0x3800, kOne = 0x3c00, kTwo = 0x4000;  // 0.5, 1, 2

TEST(Dequantise, Halves) {
  EXPECT_EQ(half_value(0x3c00), 1);
  EXPECT_EQ(half_value(0xc000), -2);
  EXPECT_EQ(half_value(0x3555), 0x1.554p-2);
  EXPECT_EQ(half_value(0x7bff), 65504);
  EXPECT_EQ(half_value(0x0001), 0x1p-24);
  EXPECT_EQ(half_value(0x83ff), -1023 * 0x1p-24);
  EXPECT_EQ(half_value(0x7c00), INFINITY);
  EXPECT_TRUE(std::isnan(half_value(0x7e00)));
  EXPECT_EQ(bfloat_value(0xc040), -3);
}

TEST(Dequantise, PlainTypes) {
  EXPECT_EQ(unpack(GgmlType::F32, {0, 0, 0x40, 0xc0, 0, 0, 0x80, 0x3f}, 2), (std::vector<double>{-3, 1}));
  EXPECT_EQ(unpack(GgmlType::F16, {0, 0x3c, 0, 0xc0}, 2), (std::vector<double>{1, -2}));
  EXPECT_EQ(unpack(GgmlType::BF16, {0x80, 0x3f, 0x40, 0xc0}, 2), (std::vector<double>{1, -3}));
}

TEST(Dequantise, Q8_0AndQ4_0) {
  Bytes q8(34);
  put_half(q8, 0, kHalf);
  q8[2] = 0x80;  // -128
  q8[33] = 127;
  const auto eight = unpack(GgmlType::Q8_0, q8, 32);
  EXPECT_EQ(eight[0], -64);
  EXPECT_EQ(eight[31], 63.5);
  EXPECT_EQ(eight[5], 0);
  Bytes q4(18);
  put_half(q4, 0, kTwo);
  q4[2] = 0xf0;   // value 0: nibble 0, value 16: nibble 15
  q4[17] = 0x9c;  // value 15: 12, value 31: 9
  const auto four = unpack(GgmlType::Q4_0, q4, 32);
  EXPECT_EQ(four[0], -16);
  EXPECT_EQ(four[16], 14);
  EXPECT_EQ(four[15], 8);
  EXPECT_EQ(four[31], 2);
  EXPECT_EQ(four[1], -16);
}

// Scales and mins as the packer of llama.cpp places them: six bits each; those of sub-blocks 4 to 7 have
// their high pair in the first eight bytes.
void put_scales(Bytes& bytes, size_t at, const int (&scale)[8], const int (&min)[8]) {
  for (int j = 0; j < 4; ++j) {
    bytes[at + j] = static_cast<uint8_t>(scale[j] | (scale[j + 4] >> 4) << 6);
    bytes[at + 4 + j] = static_cast<uint8_t>(min[j] | (min[j + 4] >> 4) << 6);
    bytes[at + 8 + j] = static_cast<uint8_t>((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
  }
}

struct KBlock {
  int scale[8], min[8], q[256];
  KBlock(int levels, std::mt19937_64& random) {
    for (int& s : scale) s = static_cast<int>(random() % 64);
    for (int& m : min) m = static_cast<int>(random() % 64);
    for (int& v : q) v = static_cast<int>(random() % static_cast<uint64_t>(levels));
  }
};

TEST(Dequantise, Q4_KAndQ5_K) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 50; ++round) {
    for (const bool five : {false, true}) {
      const KBlock block(five ? 32 : 16, random);
      Bytes bytes(five ? 176 : 144);
      put_half(bytes, 0, kHalf);
      put_half(bytes, 2, kOne);
      put_scales(bytes, 4, block.scale, block.min);
      for (int i = 0; i < 256; ++i) {
        const int sub = i / 32, lane = i % 32;
        bytes[(five ? 48 : 16) + sub / 2 * 32 + lane] |=
            static_cast<uint8_t>((block.q[i] & 15) << (sub % 2 * 4));
        if (five) bytes[16 + lane] |= static_cast<uint8_t>((block.q[i] >> 4) << sub);
      }
      const auto values = unpack(five ? GgmlType::Q5_K : GgmlType::Q4_K, bytes, 256);
      const auto parts = take_apart(five ? GgmlType::Q5_K : GgmlType::Q4_K, bytes, 256);
      ASSERT_EQ(parts.scales.size(), 8u);
      for (int j = 0; j < 8; ++j) {
        ASSERT_EQ(parts.scales[j], 0.5 * block.scale[j]);
        ASSERT_EQ(parts.minima[j], block.min[j]);
      }
      ASSERT_EQ(parts.integers, std::vector<double>(std::begin(block.q), std::end(block.q)));
      for (int i = 0; i < 256; ++i)
        ASSERT_EQ(values[i], 0.5 * block.scale[i / 32] * block.q[i] - block.min[i / 32])
            << i << (five ? " Q5_K" : " Q4_K");
    }
  }
}

TEST(Dequantise, Q6_K) {
  std::mt19937_64 random(test_seed());
  Bytes bytes(210);
  int q[256], scale[16];
  for (int j = 0; j < 16; ++j) {
    scale[j] = static_cast<int>(random() % 256) - 128;
    bytes[192 + j] = static_cast<uint8_t>(scale[j]);
  }
  put_half(bytes, 208, kTwo);
  for (int i = 0; i < 256; ++i) {
    q[i] = static_cast<int>(random() % 64);
    const int half = i / 128, quarter = i % 128 / 32, lane = i % 32;
    bytes[half * 64 + quarter % 2 * 32 + lane] |= static_cast<uint8_t>((q[i] & 15) << (quarter / 2 * 4));
    bytes[128 + half * 32 + lane] |= static_cast<uint8_t>((q[i] >> 4) << (2 * quarter));
  }
  const auto values = unpack(GgmlType::Q6_K, bytes, 256);
  const auto parts = take_apart(GgmlType::Q6_K, bytes, 256);
  for (int i = 0; i < 256; ++i) {
    ASSERT_EQ(values[i], 2.0 * scale[i / 16] * (q[i] - 32)) << i;
    ASSERT_EQ(parts.integers[i], q[i] - 32) << i;
    ASSERT_EQ(parts.scales[i / 16], 2.0 * scale[i / 16]) << i;
    ASSERT_EQ(parts.minima[i / 16], 0) << i;
  }
}

TEST(Dequantise, ProductsAreExactInF32) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 2000; ++round) {
    for (const auto& [type, size, count] :
         {std::tuple(GgmlType::Q8_0, 34, 32), {GgmlType::Q4_0, 18, 32}, {GgmlType::Q6_K, 210, 256}}) {
      Bytes bytes(size);
      for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
      for (const double value : unpack(type, bytes, static_cast<size_t>(count))) {
        if (std::isfinite(value)) {
          ASSERT_EQ(value, static_cast<float>(value));
        }
      }
    }
  }
}

TEST(Dequantise, SizesThatDoNotFit) {
  EXPECT_THROW(unpack(GgmlType::Q8_0, Bytes(33), 32), Error);
  EXPECT_THROW(unpack(GgmlType::Q8_0, Bytes(34), 31), Error);
  EXPECT_THROW(take_apart(GgmlType::Q4_K, Bytes(143), 256), Error);
  EXPECT_THROW(take_apart(GgmlType::Q6_K, Bytes(210), 512), Error);
  EXPECT_EQ(sub_block_of(GgmlType::Q8_0), 0);
}

}  // namespace
}  // namespace greta::reference
