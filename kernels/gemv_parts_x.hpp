// x in the GEMV kernels through the matrix unit: a block of 256 values as integers of 31 bits with one power
// of two, in limbs of a byte, made by one wave (docs/contracts.md, x=i32). Private to the gemv_parts_ files.
#pragma once

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_parts_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Words of 16 bytes of a block in shared memory: four limbs, of 4-byte words (gemv_parts_lane.hpp); sums over
// sub-blocks of 32, 8 floats; what brings sums back.
inline constexpr int kPartsOfX = kPartsLimb + 3;

namespace gemv {

// 2^power brings the float of these bits to [2^29, 2^30), or as near as 2^100 does.
__device__ __forceinline__ int power_for(uint32_t bits) {
  const int power = 29 + 127 - static_cast<int>(bits >> 23);
  return power > 100 ? 100 : power;
}
__device__ __forceinline__ float float_of_power(int power) {
  return as_float(static_cast<uint32_t>(127 + power) << 23);
}

__device__ __forceinline__ uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
// The larger of m and the bits of each |value|: those of infinities and NaN are above all numbers'.
__device__ __forceinline__ uint32_t largest_of(const float4& v, uint32_t m) {
  for (const float x : {v.x, v.y, v.z, v.w}) {
    const uint32_t size = bits_of(x) & 0x7fffffffu;
    m = size > m ? size : m;
  }
  return m;
}
__device__ __forceinline__ uint32_t wave_max(uint32_t v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(wave_mask(), v);
#else
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) {
    const uint32_t other = wave_shuffle_xor(v, mask);
    v = other > v ? other : v;
  }
  return v;
#endif
}

// Bytes s & 15, s >> 4 & 15 … of b:a, from the lowest.
template <uint32_t s>
__device__ __forceinline__ uint32_t pick_bytes(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(a, b, s);
#else
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  uint32_t out = 0;
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) out |= static_cast<uint32_t>(both >> 8 * (s >> 4 * i & 15) & 0xff) << 8 * i;
  return out;
#endif
}
// sum + the four signed bytes of v.
__device__ __forceinline__ int add_bytes(uint32_t v, int sum) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(v), 0x01010101, sum);
#else
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(v >> 8 * i & 0xff);
  return sum;
#endif
}

// The limbs of four integers of at most 2^30, from the top, a byte a value: balanced digits to base 256, of
// which the lower three of z + 0x808080 are 128 too large.
__device__ __forceinline__ uint4 limbs_of(const int (&values)[4]) {
  uint32_t z[4];
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) z[i] = static_cast<uint32_t>(values[i]) + 0x808080u;
  const uint32_t low01 = pick_bytes<0x5140>(z[0], z[1]), low23 = pick_bytes<0x5140>(z[2], z[3]),
                 high01 = pick_bytes<0x7362>(z[0], z[1]), high23 = pick_bytes<0x7362>(z[2], z[3]);
  constexpr uint32_t k128 = 0x80808080u;
  return make_uint4(pick_bytes<0x7632>(high01, high23), pick_bytes<0x5410>(high01, high23) ^ k128,
                    pick_bytes<0x7632>(low01, low23) ^ k128, pick_bytes<0x5410>(low01, low23) ^ k128);
}

// To the nearest, ties to even; NaN gives 0.
__device__ __forceinline__ int nearest(float x) {
#if defined(__CUDA_ARCH__)
  return __float2int_rn(x);
#else
  return x == x ? static_cast<int>(rintf(x)) : 0;
#endif
}

template <class F>
__device__ __forceinline__ float over_lanes(float v, F f) {
  GRETA_UNROLL
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) v = f(v, wave_shuffle_xor(v, mask));
  return v;
}

// The upper and lower two digits of a lane's integers of a block, added up.
struct DigitSums {
  int upper, lower;
};

// Where a lane writes: its slots' words of the first limb, its sub-block's sum, what brings sums back.
struct LaneOfX {
  uint32_t* words;
  float *sum, *back;
  __device__ __forceinline__ LaneOfX(const PartsMap& map, uint4* x)
      : words(reinterpret_cast<uint32_t*>(x) + map.lane * (kPartsSlots / wave_size())),
        sum(sums_behind(x) + map.lane / (wave_size() / 8)),
        back(sums_behind(x) + 8) {}
  __device__ __forceinline__ void settle() {
    words = settled(words), sum = settled(sum), back = settled(back);
  }
};

// Blocks' integers, and behind them the factors that bring sums of integers back. kPartsOfX words of shared
// memory a block, to be waited for. values: of slots lane · n + j, n = 64 / wave_size(). Several blocks, step
// by step, hide each other's waiting.
template <bool kMinima, int kBlocks>
__device__ __forceinline__ void make_integers(const float4 (&values)[kBlocks][2], const LaneOfX& own,
                                              DigitSums (&sums)[kBlocks]) {
  const int n = kPartsSlots / wave_size();
  uint32_t largest[kBlocks] = {};
  GRETA_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j)
      if (j < n) largest[b] = largest_of(values[b][j], largest[b]);
  }
  GRETA_UNROLL
  for (int b = 0; b < kBlocks; ++b) largest[b] = wave_max(largest[b]);
  GRETA_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    const bool finite = largest[b] < 0x7f800000u;
    const int power = power_for(largest[b]);
    const float factor = finite ? float_of_power(power) : 0.0f;  // times infinity NaN, and the integer is 0
    uint4 limbs[2] = {};
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j) {
      if (j >= n) break;
      const float4 v = scaled(values[b][j], factor);
      const int whole[4] = {nearest(v.x), nearest(v.y), nearest(v.z), nearest(v.w)};
      limbs[j] = limbs_of(whole);
    }
    int digits[4] = {};  // sums of the lane's, from the top
    GRETA_UNROLL
    for (int limb = 0; limb < 4; ++limb) {
      const uint32_t first = word_of(limbs[0], limb), second = word_of(limbs[1], limb);
      uint32_t* const to = own.words + b * kPartsOfX * 4 + limb * kPartsLimb;
      if (n == 2) {
        *reinterpret_cast<uint2*>(to) = make_uint2(first, second);
      } else {
        *to = first;
      }
      if constexpr (kMinima) {
        digits[limb] = add_bytes(first, 0);
        if (n == 2) digits[limb] = add_bytes(second, digits[limb]);
      }
    }
    own.back[b * kPartsOfX * 4] = finite ? float_of_power(-power) : NAN;
    // Upper and lower digits are exact in f32 together.
    sums[b] = {digits[0] * 256 + digits[1], digits[2] * 256 + digits[3]};
  }
}

// Sums over the blocks' sub-blocks of 32. To be waited for.
template <int kBlocks>
__device__ __forceinline__ void store_sums(const PartsMap& map, DigitSums (&sums)[kBlocks],
                                           const LaneOfX& own) {
  const int lanes = wave_size() / 8;  // of a sub-block
  for (int mask = 1; mask < lanes; mask *= 2) {
    GRETA_UNROLL
    for (int b = 0; b < kBlocks; ++b) {
      sums[b].upper += wave_shuffle_xor(sums[b].upper, mask);
      sums[b].lower += wave_shuffle_xor(sums[b].lower, mask);
    }
  }
  GRETA_UNROLL
  for (int b = 0; b < kBlocks; ++b) {
    if (map.lane % lanes == 0)
      own.sum[b * kPartsOfX * 4] =
          fmaf(static_cast<float>(sums[b].upper), 65536.0f, static_cast<float>(sums[b].lower));
  }
}

}  // namespace gemv

}  // namespace greta::kernels::inline GRETA_MACHINE
