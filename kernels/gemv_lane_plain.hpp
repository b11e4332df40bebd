// Lanes of the GEMV for f32, f16 and bf16: 16 bytes a lane, side by side, four times a tile. Needs rows of
// whole words of 16 bytes, beginning at a multiple of 16. And the lane for everything that another one cannot
// take: any type at any address, a chunk of 32 values at a time, byte by byte.
#pragma once

#include "kernels/gemv_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template <WeightType T>
struct GemvLanePlain {
  static constexpr int kValues = 16 / packing(T).bytes;  // of a word
  static constexpr int kTurns = 4, kTile = kTurns * kTeam * kValues, kSmall = 0, kStages = 2;
  using Tile = GemvTile<T, kTile>;

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int left,
                                             int lane, const uint4* words, const float4* x, int tile,
                                             float (&sums)[R][kSums]) {
    GRETA_UNROLL
    for (int i = 0; i < kTurns; ++i) {
      uint4 own[R];
      const bool inside = (i * kTeam + lane) * kValues < left;
      GRETA_UNROLL
      for (int r = 0; r < R; ++r)
        own[r] = inside ? words[r * kStride + i * kTeam + lane] : make_uint4(0, 0, 0, 0);
      GRETA_UNROLL
      for (int part = 0; part < kValues / 4; ++part) {
        const float4 xs = x[tile + gemv::swizzle((i * kTeam + lane) * (kValues / 4) + part)];
        GRETA_UNROLL
        for (int r = 0; r < R; ++r) {
          float w[4];
          four(own[r], part, w);
          sums[r][0] = fmaf(w[0], xs.x, sums[r][0]);
          sums[r][1] = fmaf(w[1], xs.y, sums[r][1]);
          sums[r][2] = fmaf(w[2], xs.z, sums[r][2]);
          sums[r][3] = fmaf(w[3], xs.w, sums[r][3]);
        }
      }
    }
  }

 private:
  // Values 4·part … of the word.
  __device__ static __forceinline__ void four(const uint4& raw, int part, float (&w)[4]) {
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (T == WeightType::f32) {
        w[i] = gemv::as_float(gemv::word_of(raw, i));
      } else {
        const uint32_t pair = gemv::word_of(raw, part * 2 + i / 2);
        if constexpr (T == WeightType::f16) {
          w[i] = f16_to_f32(static_cast<uint16_t>(pair >> i % 2 * 16));
        } else {
          w[i] = gemv::as_float(i % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
        }
      }
    }
  }
};
template <>
struct GemvLane<WeightType::f32> : GemvLanePlain<WeightType::f32> {};
template <>
struct GemvLane<WeightType::f16> : GemvLanePlain<WeightType::f16> {};
template <>
struct GemvLane<WeightType::bf16> : GemvLanePlain<WeightType::bf16> {};

struct GemvLaneAny {
  static constexpr int kTile = kTeam * kChunk, kSmall = 0, kStages = 2;
  struct Tile {
    static constexpr int kWords = 0;
    __device__ static void copy(const uint8_t*, int, int, int, uint4*, AsyncCopies&) {}
  };

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix& m, const uint8_t* const (&row)[R], int k,
                                             int left, int lane, const uint4*, const float4* x, int tile,
                                             float (&sums)[R][kSums]) {
    const int first = lane * kChunk;
    if (first >= left) return;
    GRETA_NO_UNROLL
    for (int r = 0; r < R; ++r) {
      float w[kChunk];
      unpack(m.type, row[r], k + first, left - first, w);
      for (int i = 0; i < kChunk / 4; ++i) {
        const float4 xs = x[tile + gemv::swizzle(lane * (kChunk / 4) + i)];
        sums[r][0] = fmaf(w[i * 4], xs.x, sums[r][0]);
        sums[r][1] = fmaf(w[i * 4 + 1], xs.y, sums[r][1]);
        sums[r][2] = fmaf(w[i * 4 + 2], xs.z, sums[r][2]);
        sums[r][3] = fmaf(w[i * 4 + 3], xs.w, sums[r][3]);
      }
    }
  }

 private:
  __device__ static void unpack(WeightType type, const uint8_t* row, int64_t k, int64_t count,
                                float (&w)[kChunk]) {
    switch (type) {
      case WeightType::f32:
        return unpack_chunk<WeightType::f32>(row, k, count, w);
      case WeightType::f16:
        return unpack_chunk<WeightType::f16>(row, k, count, w);
      case WeightType::bf16:
        return unpack_chunk<WeightType::bf16>(row, k, count, w);
      case WeightType::q8_0:
        return unpack_chunk<WeightType::q8_0>(row, k, count, w);
      case WeightType::q4_0:
        return unpack_chunk<WeightType::q4_0>(row, k, count, w);
      case WeightType::q4_K:
        return unpack_chunk<WeightType::q4_K>(row, k, count, w);
      case WeightType::q5_K:
        return unpack_chunk<WeightType::q5_K>(row, k, count, w);
      case WeightType::q6_K:
        return unpack_chunk<WeightType::q6_K>(row, k, count, w);
    }
  }
};

}  // namespace greta::kernels::inline GRETA_MACHINE
