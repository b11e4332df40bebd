// For tests: packed weights from random bytes, and a decoder of single values written from the format's text
// alone. It shares nothing with unpack.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.hpp"

namespace greta::kernels::test {

inline constexpr WeightType kAllTypes[] = {WeightType::f32,  WeightType::f16,  WeightType::bf16,
                                           WeightType::q8_0, WeightType::q4_0, WeightType::q4_K,
                                           WeightType::q5_K, WeightType::q6_K};

inline const char* type_name(WeightType type) {
  static const char* const names[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_K", "q5_K", "q6_K"};
  return names[static_cast<int>(type)];
}

inline int block_values(WeightType type) {
  static const int values[] = {1, 1, 1, 32, 32, 256, 256, 256};
  return values[static_cast<int>(type)];
}

inline int block_bytes(WeightType type) {
  static const int bytes[] = {4, 2, 2, 2 + 32, 2 + 16, 4 + 12 + 128, 4 + 12 + 32 + 128, 128 + 64 + 16 + 2};
  return bytes[static_cast<int>(type)];
}

// f16 bits to the number they stand for.
inline double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? std::nan("") : sign * HUGE_VAL;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

// The nearest f16, ties to even, as a number; ±65520 and beyond are infinite.
inline double round_to_half(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent;
  std::frexp(x, &exponent);  // |x| = m · 2^exponent, 0.5 <= m < 1
  const int quantum = std::max(exponent - 11, -24);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -quantum)), quantum);
  return std::abs(rounded) > 65504 ? std::copysign(HUGE_VAL, x) : rounded;
}

inline uint16_t u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] + 256 * p[1]); }

// Scale (which = 0) or minimum (1) of sub-block j: the 12 bytes as a list of sixteen 6-bit numbers.
inline int six_bits(const uint8_t* s, int which, int j) {
  if (j < 4) return s[j + 4 * which] % 64;
  const int low = which == 0 ? s[j + 4] % 16 : s[j + 4] / 16;
  const int high = s[j - 4 + 4 * which] / 64;
  return low + 16 * high;
}

inline double decode_k45(const uint8_t* block, int i, bool five) {
  const int j = i / 32, l = i % 32;
  const uint8_t* nibbles = block + (five ? 48 : 16);
  const uint8_t byte = nibbles[i / 64 * 32 + l];
  int q = j % 2 == 0 ? byte % 16 : byte / 16;
  if (five && (block[16 + l] & (1 << j))) q += 16;
  const uint8_t* s = block + 4;
  return half_value(u16(block)) * six_bits(s, 0, j) * q - half_value(u16(block + 2)) * six_bits(s, 1, j);
}

inline double decode_q6(const uint8_t* block, int i) {
  const int half = i / 128, l = i % 32;
  const uint8_t *ql = block + 64 * half, *qh = block + 128 + 32 * half;
  int q = 0;
  switch (i % 128 / 32) {
    case 0:
      q = ql[l] % 16 + 16 * (qh[l] & 3);
      break;
    case 1:
      q = ql[l + 32] % 16 + 16 * (qh[l] >> 2 & 3);
      break;
    case 2:
      q = ql[l] / 16 + 16 * (qh[l] >> 4 & 3);
      break;
    case 3:
      q = ql[l + 32] / 16 + 16 * (qh[l] >> 6);
      break;
  }
  const int scale = std::bit_cast<int8_t>(block[192 + i / 16]);
  return half_value(u16(block + 208)) * scale * (q - 32);
}

// Value i of the block.
inline double decode(WeightType type, const uint8_t* block, int i) {
  switch (type) {
    case WeightType::f32: {
      float value;
      std::memcpy(&value, block, 4);
      return value;
    }
    case WeightType::f16:
      return half_value(u16(block));
    case WeightType::bf16:
      return std::bit_cast<float>(static_cast<uint32_t>(u16(block)) << 16);
    case WeightType::q8_0:
      return half_value(u16(block)) * std::bit_cast<int8_t>(block[2 + i]);
    case WeightType::q4_0:
      return half_value(u16(block)) * ((i < 16 ? block[2 + i] % 16 : block[2 + i - 16] / 16) - 8);
    case WeightType::q4_K:
      return decode_k45(block, i, false);
    case WeightType::q5_K:
      return decode_k45(block, i, true);
    case WeightType::q6_K:
      return decode_q6(block, i);
  }
  return std::nan("");
}

// rows x columns; scales are such that values are about ±1, everything else is random bits.
inline std::vector<uint8_t> random_weight(WeightType type, int64_t rows, int64_t columns,
                                          std::mt19937_64& random) {
  const int64_t blocks = rows * columns / block_values(type);
  const int bytes = block_bytes(type);
  std::vector<uint8_t> data(static_cast<size_t>(blocks * bytes));
  for (uint8_t& b : data) b = static_cast<uint8_t>(random());
  // f16 whose size is `scale` within a factor of four, of either sign.
  const auto half = [&](uint8_t* at, int exponent) {
    const uint16_t bits = static_cast<uint16_t>((random() & 0x87ff) + ((exponent + 15) << 10));
    at[0] = static_cast<uint8_t>(bits), at[1] = static_cast<uint8_t>(bits >> 8);
  };
  for (int64_t b = 0; b < blocks; ++b) {
    uint8_t* block = data.data() + b * bytes;
    switch (type) {
      case WeightType::f32: {
        const float value = std::normal_distribution<float>()(random);
        std::memcpy(block, &value, 4);
        break;
      }
      case WeightType::f16:
        half(block, -2);
        break;
      case WeightType::bf16:
        block[1] = static_cast<uint8_t>(0x3e + (block[1] & 0x81));
        break;
      case WeightType::q8_0:
        half(block, -7);
        break;
      case WeightType::q4_0:
        half(block, -4);
        break;
      case WeightType::q4_K:
      case WeightType::q5_K:
        half(block, -9), half(block + 2, -6);
        break;
      case WeightType::q6_K:
        half(block + 208, -11);
        break;
    }
  }
  return data;
}

// All values, [rows, columns].
inline std::vector<double> decode_all(WeightType type, const std::vector<uint8_t>& bytes, int64_t rows,
                                      int64_t columns) {
  std::vector<double> values(static_cast<size_t>(rows * columns));
  const int per = block_values(type);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = decode(type, bytes.data() + i / per * block_bytes(type), static_cast<int>(i % per));
  }
  return values;
}

}  // namespace greta::kernels::test
