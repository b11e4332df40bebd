// CDNA3 (gfx942), v_mfma_f32_16x16x16 f16 and bf16_1k: two groups of 8 products, one after the other:
//
//   p_k = ±(significand of a · significand of b) · 2^(ea + eb), not normalised; E their largest exponent
//   s   = the exact sum of the p_k, each cut toward zero to a multiple of 2^(E − 24)
//   F   = the larger of E and c's exponent; s is floored to a multiple of 2^(F − 31), c to one of 2^(F − 24)
//   c   = their sum, rounded to nearest even
//
// Subnormals are kept, a product of 2^128 or more is infinite; an infinity or a NaN among the operands or in
// c is taken first, as f64 has it. From the measurements in MMA-Sim (arXiv
// 2511.10909): no card of this kind was at hand.
#include <algorithm>

#include "kernels/hip/host_unit.hpp"
#include "kernels/hip/host_unit_parts.hpp"

namespace greta::kernels::host {
namespace {

constexpr int kGroup = 8, kKept = 24, kKeptSum = 31;

// floor(value · 2^−down)
int64_t floored(int64_t value, int down) { return value >> std::min(down, 63); }

template <class Format>
void multiply(const uint16_t* a_bits, const uint16_t* b_bits, float* c) {
  constexpr int kUp = kKept - 2 * Format::kFraction;
  UnitOperands a, b;
  take_apart<Format>(a_bits, a);
  take_apart<Format>(b_bits, b);
  const Specials special(a, b);
  for (int row = 0; row < kUnitTile; ++row) {
    float* const c_row = c + row * kUnitTile;
    const int a_row = row * kUnitTile;
    float before[kUnitTile];
    std::copy(c_row, c_row + kUnitTile, before);
    for (int k0 = 0; k0 < kUnitTile; k0 += kGroup) {
      int32_t top[kUnitTile], sum[kUnitTile] = {};
      int32_t up[kUnitTile] = {}, down[kUnitTile] = {};  // not 0: an infinite product, by sign
      std::fill(top, top + kUnitTile, 2 * kNoExponent);
      for (int k = k0; k < k0 + kGroup; ++k) {
        for (int j = 0; j < kUnitTile; ++j)
          top[j] = std::max(top[j], a.exponent[a_row + k] + b.exponent[k * kUnitTile + j]);
      }
      for (int k = k0; k < k0 + kGroup; ++k) {
        for (int j = 0; j < kUnitTile; ++j) {
          const int at = k * kUnitTile + j;
          const int32_t exponent = a.exponent[a_row + k] + b.exponent[at];
          const int32_t sign = a.sign[a_row + k] ^ b.sign[at];
          const uint32_t product = a.significand[a_row + k] * b.significand[at];
          const auto size = static_cast<int32_t>((product << kUp) >>
                                                 static_cast<uint32_t>(std::min(top[j] - exponent, 31)));
          sum[j] += (size ^ sign) - sign;
          if constexpr (Format::kBias > 15) {  // f16 has none
            const int32_t infinite =
                exponent + static_cast<int32_t>(product >> (2 * Format::kFraction + 1)) >= 128 ? -1 : 0;
            up[j] |= infinite & ~sign;
            down[j] |= infinite & sign;
          }
        }
      }
      for (int j = 0; j < kUnitTile; ++j) {
        if ((up[j] | down[j]) != 0) {
          const float infinity = up[j] != 0 ? HUGE_VALF : -HUGE_VALF;
          c_row[j] = up[j] != 0 && down[j] != 0 ? NAN : c_row[j] + infinity;
          continue;
        }
        if (!finite(c_row[j])) continue;
        const AccParts acc = take_apart(c_row[j]);
        const int high = std::max(top[j], acc.exponent);
        const int64_t significand = acc.sign != 0 ? -int64_t{acc.significand} : int64_t{acc.significand};
        const int64_t joined =
            floored(int64_t{sum[j]} << (kKeptSum - kKept), high - top[j]) +
            (floored(significand << (kKept - 23), high - acc.exponent) << (kKeptSum - kKept));
        c_row[j] = joined == 0 ? 0.0f : static_cast<float>(scaled(joined, high - kKeptSum));
      }
    }
    for (int j = 0; j < kUnitTile; ++j) {
      if (special.row[row] || special.column[j] || !finite(before[j]))
        c_row[j] = special_sum<Format>(a_bits + a_row, b_bits + j, before[j], NAN);
    }
  }
}

}  // namespace

const UnitProducts kCdna3Products{multiply<F16Bits>, multiply<Bf16Bits>};

}  // namespace greta::kernels::host
