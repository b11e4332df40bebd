// x in the GEMV kernels through the matrix unit: a block of 256 values as integers of 31 bits with one power
// of two, in limbs of a byte, made by one wave (docs/contracts.md, x=i32). Private to the gemv_parts_ files.
#pragma once

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_parts_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kPartsSlots = kPartsBlock / 4;

namespace gemv {

// 2^power brings the float of these bits, if it is not 0, to [2^29, 2^30), within reason.
__device__ __forceinline__ int power_for(uint32_t bits) {
  const int power = 29 + 127 - static_cast<int>(bits >> 23);
  return bits == 0 ? 0 : power < -100 ? -100 : power > 100 ? 100 : power;
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

// The slot of four integers of at most 2^30 (gemv_parts_lane.hpp), a byte a value: balanced digits to base
// 256, of which the lower three of z + 0x808080 are 128 too large.
__device__ __forceinline__ uint4 limbs_of(const int (&values)[4]) {
  uint32_t z[4];
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) z[i] = (static_cast<uint32_t>(values[i]) + 0x808080u) ^ 0x808080u;
  const uint32_t low01 = pick_bytes<0x5140>(z[0], z[1]), low23 = pick_bytes<0x5140>(z[2], z[3]),
                 high01 = pick_bytes<0x7362>(z[0], z[1]), high23 = pick_bytes<0x7362>(z[2], z[3]);
  return make_uint4(pick_bytes<0x7632>(high01, high23), pick_bytes<0x7632>(low01, low23),
                    pick_bytes<0x5410>(high01, high23), pick_bytes<0x5410>(low01, low23));
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

// A block of 256 values of x in a wave: B of its products, a pair of sub-blocks' sums, and the factor that
// brings sums of integers back.
struct BlockOfX {
  PartsOfX parts;
  float2 sums;
  float back;
};

// The block's slots, its sums and factor. slots: the wave's own in shared memory. values: of slots lane · n +
// j, n = 64 / wave_size().
template <bool kMinima>
__device__ __forceinline__ void make_integers(const PartsMap& map, const float4 (&values)[2], uint4* slots,
                                              BlockOfX& x) {
  const int n = kPartsSlots / wave_size();
  uint32_t largest = 0;
  GRETA_UNROLL
  for (int j = 0; j < 2; ++j)
    if (j < n) largest = largest_of(values[j], largest);
  largest = wave_max(largest);
  const bool finite = largest < 0x7f800000u;
  const int power = power_for(largest);
  const float factor = finite ? float_of_power(power) : 0.0f;  // times infinity NaN, and the integer is 0
  int digits[4] = {};                                          // sums of the lane's, from the top
  wave_sync();                                                 // the last block's slots are read
  GRETA_UNROLL
  for (int j = 0; j < 2; ++j) {
    if (j >= n) break;
    const float4 v = scaled(values[j], factor);
    const int whole[4] = {nearest(v.x), nearest(v.y), nearest(v.z), nearest(v.w)};
    const uint4 slot = limbs_of(whole);
    slots[place_of_slot(map.lane * n + j)] = slot;
    if constexpr (kMinima) {
      digits[0] = add_bytes(slot.x, digits[0]), digits[2] = add_bytes(slot.y, digits[2]);
      digits[1] = add_bytes(slot.z, digits[1]), digits[3] = add_bytes(slot.w, digits[3]);
    }
  }
  x.back = finite ? float_of_power(-power) : NAN;
  if constexpr (kMinima) {
    // A sub-block's upper and lower digits are exact in f32 together.
    int upper = digits[0] * 256 + digits[1], lower = digits[2] * 256 + digits[3];
    const int lanes = wave_size() / 8;  // of a sub-block of 32
    for (int mask = 1; mask < lanes; mask *= 2) {
      upper += wave_shuffle_xor(upper, mask);
      lower += wave_shuffle_xor(lower, mask);
    }
    const float sum = fmaf(static_cast<float>(upper), 65536.0f, static_cast<float>(lower));
    const int pair = map.sub_of_c();
    x.sums = make_float2(wave_shuffle(sum, 2 * pair * lanes), wave_shuffle(sum, (2 * pair + 1) * lanes));
  }
  wave_sync();
}

}  // namespace gemv

}  // namespace greta::kernels::inline GRETA_MACHINE
