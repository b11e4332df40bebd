// The packed weight types, value by value: chunks of 32 along a row, because every packed type keeps one
// scale (Q6_K: two) for 32 values, so that a block's header is decoded once a chunk. Layouts: the GGUF types
// of the same names (Q4_K and Q6_K also in docs/contracts.md's terms).
//
// Each value is computed in f32. The product scale · q is exact for every type (at most 23 bits), so Q8_0,
// Q4_0 and Q6_K have no rounding and Q4_K and Q5_K have one, that of subtracting the minimum.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/kernels.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kChunk = 32;

// `values` of a row lie in `bytes` bytes, then the next block follows.
struct Packing {
  int values, bytes;
  const char* name;
};

__host__ __device__ constexpr Packing packing(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return {1, 4, "f32"};
    case WeightType::f16:
      return {1, 2, "f16"};
    case WeightType::bf16:
      return {1, 2, "bf16"};
    case WeightType::q8_0:
      return {32, 34, "q8_0"};
    case WeightType::q4_0:
      return {32, 18, "q4_0"};
    case WeightType::q4_K:
      return {256, 144, "q4_K"};
    case WeightType::q5_K:
      return {256, 176, "q5_K"};
    case WeightType::q6_K:
      return {256, 210, "q6_K"};
  }
  return {0, 0, "?"};
}

__host__ __device__ constexpr int64_t row_bytes(WeightType type, int64_t columns) {
  return columns / packing(type).values * packing(type).bytes;
}

namespace unpacking {

__device__ inline float f16_at(const uint8_t* p) {
  return f16_to_f32(static_cast<uint16_t>(p[0] | p[1] << 8));
}

struct ScaleMin {
  float scale, min;
};

// Q4_K, Q5_K: f16 d, f16 dmin, then eight scales and eight minima of 6 bits in 12 bytes s. For sub-blocks 0–3
// they are the low 6 bits of s[j] and s[j+4]; for 4–7 the low 4 bits lie in the nibbles of s[j+4], the high 2
// in the tops of s[j-4] and s[j].
__device__ inline ScaleMin scale_min(const uint8_t* block, int j) {
  const uint8_t* s = block + 4;
  const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  const int min = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
  return {f16_at(block) * static_cast<float>(scale), f16_at(block + 2) * static_cast<float>(min)};
}

}  // namespace unpacking

// out[i] = value k + i of the row, i < 32; values from `count` on are 0. k is a multiple of 32; packed types
// have whole chunks only.
template <WeightType T>
__device__ inline void unpack_chunk(const uint8_t* row, int64_t k, int64_t count, float (&out)[kChunk]) {
  using unpacking::f16_at;
  constexpr Packing kPacking = packing(T);
  const uint8_t* block = row + k / kPacking.values * kPacking.bytes;
  const int in_block = static_cast<int>(k % kPacking.values);
  if constexpr (T == WeightType::f32) {
    const float* values = reinterpret_cast<const float*>(block);
    if (count >= kChunk) {
      for (int i = 0; i < kChunk; ++i) out[i] = values[i];
    } else {
      for (int i = 0; i < kChunk; ++i) out[i] = i < count ? values[i] : 0.0f;
    }
  } else if constexpr (T == WeightType::f16 || T == WeightType::bf16) {
    const uint16_t* values = reinterpret_cast<const uint16_t*>(block);
    uint16_t bits[kChunk] = {};  // zero bits are 0.0 in both
    if (count >= kChunk) {
      for (int i = 0; i < kChunk; ++i) bits[i] = values[i];
    } else {
      for (int i = 0; i < count; ++i) bits[i] = values[i];
    }
    for (int i = 0; i < kChunk; ++i)
      out[i] = T == WeightType::f16 ? f16_to_f32(bits[i]) : bf16_to_f32(bits[i]);
  } else if constexpr (T == WeightType::q8_0) {
    const float d = f16_at(block);
    const int8_t* q = reinterpret_cast<const int8_t*>(block + 2);
    for (int i = 0; i < kChunk; ++i) out[i] = d * static_cast<float>(q[i]);
  } else if constexpr (T == WeightType::q4_0) {
    const float d = f16_at(block);
    const uint8_t* q = block + 2;
    for (int i = 0; i < 16; ++i) out[i] = d * static_cast<float>((q[i] & 15) - 8);
    for (int i = 0; i < 16; ++i) out[16 + i] = d * static_cast<float>((q[i] >> 4) - 8);
  } else if constexpr (T == WeightType::q4_K) {
    const int j = in_block / 32, shift = j % 2 * 4;
    const unpacking::ScaleMin s = unpacking::scale_min(block, j);
    const uint8_t* q = block + 16 + j / 2 * 32;
    for (int i = 0; i < kChunk; ++i) out[i] = s.scale * static_cast<float>((q[i] >> shift) & 15) - s.min;
  } else if constexpr (T == WeightType::q5_K) {
    const int j = in_block / 32, shift = j % 2 * 4;
    const unpacking::ScaleMin s = unpacking::scale_min(block, j);
    const uint8_t* high = block + 16;  // bit j of high[i] is the fifth bit
    const uint8_t* q = block + 48 + j / 2 * 32;
    for (int i = 0; i < kChunk; ++i) {
      const int value = ((q[i] >> shift) & 15) | ((high[i] >> j) & 1) << 4;
      out[i] = s.scale * static_cast<float>(value) - s.min;
    }
  } else {
    static_assert(T == WeightType::q6_K);
    // Two halves of 128; in each, quarter c takes the nibble c/2 of ql[32·(c%2) + i] and the bits 2c, 2c+1 of
    // qh[i].
    const int half = in_block / 128, quarter = in_block % 128 / 32;
    const uint8_t* low = block + half * 64 + quarter % 2 * 32;
    const uint8_t* high = block + 128 + half * 32;
    const int8_t* scales = reinterpret_cast<const int8_t*>(block + 192) + half * 8 + quarter * 2;
    const float d = f16_at(block + 208);
    const float scale[2] = {d * static_cast<float>(scales[0]), d * static_cast<float>(scales[1])};
    const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
    for (int g = 0; g < 2; ++g) {
      for (int i = g * 16; i < g * 16 + 16; ++i) {
        const int value = (((low[i] >> low_shift) & 15) | ((high[i] >> high_shift) & 3) << 4) - 32;
        out[i] = scale[g] * static_cast<float>(value);
      }
    }
  }
}

// Calls f.template operator()<T>() with T = type.
template <class F>
auto with_weight_type(WeightType type, F f) {
  switch (type) {
    case WeightType::f16:
      return f.template operator()<WeightType::f16>();
    case WeightType::bf16:
      return f.template operator()<WeightType::bf16>();
    case WeightType::q8_0:
      return f.template operator()<WeightType::q8_0>();
    case WeightType::q4_0:
      return f.template operator()<WeightType::q4_0>();
    case WeightType::q4_K:
      return f.template operator()<WeightType::q4_K>();
    case WeightType::q5_K:
      return f.template operator()<WeightType::q5_K>();
    case WeightType::q6_K:
      return f.template operator()<WeightType::q6_K>();
    case WeightType::f32:
      break;
  }
  return f.template operator()<WeightType::f32>();
}

}  // namespace greta::kernels::inline GRETA_MACHINE
