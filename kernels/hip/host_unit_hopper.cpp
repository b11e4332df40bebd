// Hopper (sm_90), mma.sync.m16n8k16 f16 and bf16 into f32: 16 products and c in one sum.
//
//   p_k = ±(significand of a · significand of b) · 2^(ea + eb), not normalised: 1·1 to almost 4; a subnormal
//         operand has the smallest exponent of its type and a leading zero
//   E   = the largest exponent of those that are not zero, c among them
//   each is cut toward zero to a multiple of 2^(E − 25), the sum of the 17 is exact, and is cut toward zero
//   to f32 (subnormals kept). An exact zero is +0. Any NaN is 0x7fffffff.
#include <algorithm>

#include "kernels/hip/host_unit.hpp"
#include "kernels/hip/host_unit_parts.hpp"

namespace greta::kernels::host {
namespace {

constexpr int kKept = 25;  // fractional bits under the largest exponent

// sum · 2^unit, its magnitude cut to what f32 holds.
float toward_zero(int64_t sum, int unit) {
  uint64_t size = sum < 0 ? -static_cast<uint64_t>(sum) : static_cast<uint64_t>(sum);
  const int drop = std::max(static_cast<int>(std::bit_width(size)) - 24, -149 - unit);
  if (drop > 0) size = drop > 63 ? 0 : size >> drop << drop;
  if (size == 0) return 0;
  const float value = static_cast<float>(scaled(static_cast<int64_t>(size), unit));
  return sum < 0 ? -value : value;
}

template <class Format>
void multiply(const uint16_t* a_bits, const uint16_t* b_bits, float* c) {
  constexpr int kUp = kKept - 2 * Format::kFraction;  // from a product's last place to the sum's, at E
  constexpr int kUpAcc = kKept - 23;
  const float nan = std::bit_cast<float>(0x7fffffffu);
  UnitOperands a, b;
  take_apart<Format>(a_bits, a);
  take_apart<Format>(b_bits, b);
  const Specials special(a, b);
  for (int row = 0; row < kUnitTile; ++row) {
    float* const c_row = c + row * kUnitTile;
    const int a_row = row * kUnitTile;
    AccParts acc[kUnitTile];
    int32_t top[kUnitTile];
    for (int j = 0; j < kUnitTile; ++j) {
      acc[j] = take_apart(c_row[j]);
      top[j] = acc[j].exponent;
    }
    for (int k = 0; k < kUnitTile; ++k) {
      for (int j = 0; j < kUnitTile; ++j)
        top[j] = std::max(top[j], a.exponent[a_row + k] + b.exponent[k * kUnitTile + j]);
    }
    // Sixteen products of at most 2^27 overflow 32 bits, eight do not.
    int32_t sum[2][kUnitTile] = {};
    for (int k = 0; k < kUnitTile; ++k) {
      for (int j = 0; j < kUnitTile; ++j) {
        const int at = k * kUnitTile + j;
        const int32_t sign = a.sign[a_row + k] ^ b.sign[at];
        const uint32_t down =
            static_cast<uint32_t>(std::min(top[j] - (a.exponent[a_row + k] + b.exponent[at]), 31));
        const auto size = static_cast<int32_t>((a.significand[a_row + k] * b.significand[at] << kUp) >> down);
        sum[k % 2][j] += (size ^ sign) - sign;
      }
    }
    for (int j = 0; j < kUnitTile; ++j) {
      if (special.row[row] || special.column[j] || !finite(c_row[j])) {
        c_row[j] = special_sum<Format>(a_bits + a_row, b_bits + j, c_row[j], nan);
        continue;
      }
      const auto size =
          static_cast<int64_t>((acc[j].significand << kUpAcc) >> std::min(top[j] - acc[j].exponent, 31));
      c_row[j] =
          toward_zero(int64_t{sum[0][j]} + sum[1][j] + (acc[j].sign != 0 ? -size : size), top[j] - kKept);
    }
  }
}

}  // namespace

const UnitProducts kHopperProducts{multiply<F16Bits>, multiply<Bf16Bits>};

}  // namespace greta::kernels::host
