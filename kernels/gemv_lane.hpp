// What one lane of a GEMV does with its share of a row of W. Private to the gemv_ and fused_ files.
//
// A team of 32 lanes (a wave of 32, or half a wave of 64) takes a row tile by tile; a tile is kTile columns,
// kTile/32 of them each lane's. Its bytes are copied to shared memory as they lie, by whole aligned words of
// 16 bytes (GemvTile), several tiles ahead; there any alignment costs one shift a word. Each type's lane is a
// struct:
//   kTile     columns of a tile
//   Tile      its GemvTile
//   kSmall    the sums are those of 2^-kSmall · w · x (see below)
//   kStages   tiles in shared memory at once, on a machine with room for them
//   add<R, kStride>(m, row, k, left, lane, words, x, tile, sums)
//             sums[r][…] += w[row r, k…] · x[k…], by all lanes of the wave. row: where the rows begin in
//             memory; left: columns from k on; words: the tiles, kStride words apart; x[tile…]: the tile's
//             float4s (swizzle())
//
// Integers become f32 without a conversion: a weight's bits, masked where they lie, are the subnormal
// q · 2^(p - 149), p the place of the lowest bit (p + bits <= 23). A fused multiply-add with scale · 2^(149 -
// p - 44) gives the weight times 2^-44 with the one rounding it has in unpack.hpp: every f16 scale times its
// integer is a multiple of 2^-24 below 2^23, so the factor stays below 2^128 and nothing is lost below
// 2^-126. x is scaled by 2^44 on its way to shared memory, so the products are those of w · x to the bit.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/hip/async_copy.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kTeam = 32;
inline constexpr int kSums = 4;  // independent sums a lane and row
inline constexpr int kSmallBits = 44;

// A matrix on its way through a GEMV kernel.
struct GemvMatrix {
  const uint8_t* data = nullptr;
  int64_t rows = 0, row_bytes = 0;
  WeightType type = WeightType::f32;
  float* y = nullptr;
};

namespace gemv {

__host__ __device__ constexpr float power_of_two(int exponent) {
  float value = 1;
  for (int i = 0; i < exponent; ++i) value *= 2;
  for (int i = 0; i > exponent; --i) value *= 0.5f;
  return value;
}

__device__ __forceinline__ float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// The f32 bits as a scale for integers at bit p.
template <int p>
__device__ __forceinline__ float at_bit(float scale) {
  return scale * power_of_two(149 - kSmallBits - p);
}

__device__ __forceinline__ uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// The low 32 bits of high:low >> shift, shift < 32.
__device__ __forceinline__ uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t shift) {
#if defined(__CUDA_ARCH__)
  return __funnelshift_r(low, high, shift);
#else
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> shift);
#endif
}

// Where float4 i of a tile lies in shared memory: the eight lanes whose 16-byte reads go together must hit
// eight different groups of banks for every type's order of columns (64 consecutive floats a lane, Q6_K's 16
// of each 32, or 8 a lane).
__device__ __forceinline__ int swizzle(int i) {
  return i ^ ((i >> 4 & 1) << 2 | (i >> 5 & 1) << 1 | ((i >> 6 ^ i >> 3) & 1));
}

// The float4 at byte `at` of x, its place within 128 bytes turned by `turn` float4s, and `more` bytes on.
// With at = 16 · swizzle(first) a lane's addresses cost one operation or none.
__device__ __forceinline__ float4 x_turned(const float4* x, int at, int turn, int more) {
  return *reinterpret_cast<const float4*>(reinterpret_cast<const char*>(x) + (at ^ turn * 16) + more);
}
// Float4 first + i, i < 16, first a multiple of 16: swizzle(first + i) = swizzle(first) ^ i ^ (i >> 3).
__device__ __forceinline__ float4 x_at(const float4* x, int at, int i) {
  return x_turned(x, at, (i ^ i >> 3) & 7, (i & 8) * 16);
}

}  // namespace gemv

// The bytes of `T`'s tile at column k of a row that begins at `row`, cut off at the row's end.
template <WeightType T, int kTile>
struct GemvTile {
  static constexpr int kBytes = kTile / packing(T).values * packing(T).bytes;
  static constexpr bool kSkewed = packing(T).bytes > 4 && packing(T).bytes % 16 != 0;
  // With what lies ahead of a tile in its first word, and a word behind it that shifts may read.
  static constexpr int kWords = kSkewed ? (15 + kBytes + 4 + 15) / 16 : kBytes / 16;

  __device__ __forceinline__ static int64_t offset(int k) {
    return static_cast<int64_t>(k / packing(T).values) * packing(T).bytes;
  }
  // Bytes of the first word ahead of the tile.
  __device__ __forceinline__ static int skew(const uint8_t* row, int k) {
    return kSkewed
               ? static_cast<int>((reinterpret_cast<uintptr_t>(row) + static_cast<uintptr_t>(offset(k))) & 15)
               : 0;
  }
  __device__ __forceinline__ static void copy(const uint8_t* row, int k, int left, int lane, uint4* to,
                                              AsyncCopies& copies) {
    const int ahead = skew(row, k);
    const int bytes = left >= kTile ? kBytes : left / packing(T).values * packing(T).bytes;
    const int words = (ahead + bytes + 15) / 16;
    const uint8_t* from = row + offset(k) - ahead + lane * 16;
    constexpr int kTurns = (kWords + kTeam - 1) / kTeam;
    GRETA_UNROLL
    for (int i = 0; i < kTurns; ++i) {
      if (lane + i * kTeam < words) copies.copy16(to + lane + i * kTeam, from + i * kTeam * 16, 16);
    }
  }
};

template <WeightType T>
struct GemvLane;

}  // namespace greta::kernels::inline GRETA_MACHINE
