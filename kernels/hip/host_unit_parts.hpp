// What the models of matrix units share: operands taken apart into integers, and what infinities and NaN
// give.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace greta::kernels::host {

inline constexpr int kUnitTile = 16;
inline constexpr int kUnitCells = kUnitTile * kUnitTile;

struct F16Bits {
  static constexpr int kFraction = 10, kBias = 15, kExponents = 31;
};
struct Bf16Bits {
  static constexpr int kFraction = 7, kBias = 127, kExponents = 255;
};

// Below every product's exponent and every sum of two: a zero has no part in the largest exponent.
inline constexpr int kNoExponent = -1000;

// ±significand · 2^(exponent − kFraction). A subnormal keeps the smallest exponent and has no leading one.
struct UnitOperands {
  uint32_t significand[kUnitCells];
  int32_t sign[kUnitCells];  // 0, or −1 for negative
  int32_t exponent[kUnitCells];
  bool finite[kUnitCells];
};

template <class Format>
void take_apart(const uint16_t* bits, UnitOperands& out) {
  for (int i = 0; i < kUnitCells; ++i) {
    const int32_t field = bits[i] >> Format::kFraction & Format::kExponents;
    const uint32_t fraction = bits[i] & ((1u << Format::kFraction) - 1);
    out.significand[i] = fraction | (field != 0 ? 1u << Format::kFraction : 0);
    out.sign[i] = -(bits[i] >> 15);
    out.exponent[i] = out.significand[i] == 0 ? kNoExponent : (field != 0 ? field : 1) - Format::kBias;
    out.finite[i] = field != Format::kExponents;
  }
}

template <class Format>
double number(uint16_t bits) {
  const int field = bits >> Format::kFraction & Format::kExponents;
  const int fraction = bits & ((1 << Format::kFraction) - 1);
  double size = std::ldexp(field != 0 ? fraction + (1 << Format::kFraction) : fraction,
                           (field != 0 ? field : 1) - Format::kBias - Format::kFraction);
  if (field == Format::kExponents) size = fraction != 0 ? NAN : HUGE_VAL;
  return bits >> 15 ? -size : size;
}

struct AccParts {
  uint32_t significand;
  int32_t sign, exponent;  // ±significand · 2^(exponent − 23)
};
inline AccParts take_apart(float c) {
  const uint32_t bits = std::bit_cast<uint32_t>(c);
  const int32_t field = static_cast<int32_t>(bits >> 23 & 0xff);
  const uint32_t significand = (bits & 0x7fffffu) | (field != 0 ? 0x800000u : 0);
  return {significand, -static_cast<int32_t>(bits >> 31),
          significand == 0 ? kNoExponent : (field != 0 ? field : 1) - 127};
}
inline bool finite(float c) { return (std::bit_cast<uint32_t>(c) >> 23 & 0xff) != 0xff; }

// Which of NaN, +∞, −∞ (as the operands' own arithmetic has it) a sum with an infinity or NaN in it is; f64
// holds every finite product and sum here without overflow.
template <class Format>
float special_sum(const uint16_t* a_row, const uint16_t* b_column, float c, float nan) {
  double sum = c;
  for (int k = 0; k < kUnitTile; ++k)
    sum += number<Format>(a_row[k]) * number<Format>(b_column[k * kUnitTile]);
  return sum != sum ? nan : static_cast<float>(sum);
}

// Rows of A and columns of B that hold an infinity or a NaN.
struct Specials {
  bool row[kUnitTile] = {}, column[kUnitTile] = {};
  Specials(const UnitOperands& a, const UnitOperands& b) {
    for (int i = 0; i < kUnitCells; ++i) {
      row[i / kUnitTile] |= !a.finite[i];
      column[i % kUnitTile] |= !b.finite[i];
    }
  }
};

// size · 2^scale, exact in f64 for what occurs here.
inline double scaled(int64_t size, int scale) {
  return static_cast<double>(size) * std::bit_cast<double>(static_cast<uint64_t>(1023 + scale) << 52);
}

}  // namespace greta::kernels::host
