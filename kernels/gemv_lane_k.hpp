// Lanes of the GEMV for Q4_K and Q5_K: blocks of 256 values whose size is a multiple of 16 bytes, so that a
// lane loads straight from memory. Four lanes a block, a pair of sub-blocks (64 consecutive values) each.
// Needs matrices that begin at a multiple of 16 bytes.
#pragma once

#include "kernels/gemv_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace gemv {

// Which bits of a block's header are the scales and minima of sub-blocks 2p (low nibbles) and 2p + 1 (high
// nibbles): unpack.hpp, scale_min(), two bytes at once. For p < 2 they lie in one word, else in two.
struct PairPlace {
  bool split;
  int shift, min_shift, top_shift;
  uint32_t mask, top_mask;
  __device__ __forceinline__ explicit PairPlace(int pair)
      : split(pair >= 2),
        shift(pair % 2 * 16),
        min_shift(shift + (split ? 4 : 0)),
        top_shift(shift + 2),
        mask(split ? 0x0f0fu : 0x3f3fu),
        top_mask(split ? 0x3030u : 0u) {}
};

// For integers at bits 0 and 8, and 4 and 12.
struct PairScales {
  float low0, low8, high4, high12, low_min, high_min;
};

// header: f16 d, f16 dmin, 12 bytes of scales and minima. Not `inside`: every weight is 0.
__device__ __forceinline__ PairScales pair_scales(const uint4& header, const PairPlace& p, bool inside) {
  const uint32_t scales =
      ((p.split ? header.w : header.y) >> p.shift & p.mask) | (header.y >> p.top_shift & p.top_mask);
  const uint32_t minima =
      ((p.split ? header.w : header.z) >> p.min_shift & p.mask) | (header.z >> p.top_shift & p.top_mask);
  const uint32_t both = inside ? header.x : 0;
  const float d = at_bit<0>(f16_to_f32(static_cast<uint16_t>(both & 0xffffu)));
  const float dmin = f16_to_f32(static_cast<uint16_t>(both >> 16)) * power_of_two(-kSmallBits);
  const float low = d * static_cast<float>(scales & 0xffu), high = d * static_cast<float>(scales >> 8);
  return {low,
          low * power_of_two(-8),
          high * power_of_two(-4),
          high * power_of_two(-12),
          dmin * static_cast<float>(minima & 0xffu),
          dmin * static_cast<float>(minima >> 8)};
}

}  // namespace gemv

template <>
struct GemvLane<WeightType::q4_K> {
  static constexpr int kTile = 2048, kSmall = kSmallBits, kStages = 4;
  using Tile = GemvTile<WeightType::q4_K, kTile>;

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int left,
                                             int lane, const uint4* words, const float4* x, int tile,
                                             float (&sums)[R][kSums]) {
    const uint4* block = words + lane / 4 * 9;
    const uint4* nibbles = block + 1 + lane % 4 * 2;
    using gemv::as_float;
    const int first = (tile + gemv::swizzle(lane * 16)) * 16;
    gemv::PairScales s[R];
    uint4 q[R] = {};  // filled when i % 4 is 0, which g++ does not see
    const gemv::PairPlace place(lane % 4);
    GRETA_UNROLL
    for (int r = 0; r < R; ++r) s[r] = gemv::pair_scales(block[r * kStride], place, lane * 64 < left);
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) {
      if (i % 4 == 0) {
        GRETA_UNROLL
        for (int r = 0; r < R; ++r) q[r] = nibbles[r * kStride + i / 4];
      }
      const float4 low = gemv::x_at(x, first, i), high = gemv::x_at(x, first, 8 + i);
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const uint32_t v = gemv::word_of(q[r], i % 4), u = v >> 16;
        float* sum = sums[r];
        sum[0] = fmaf(fmaf(as_float(v & 0xfu), s[r].low0, -s[r].low_min), low.x, sum[0]);
        sum[1] = fmaf(fmaf(as_float(v & 0xf00u), s[r].low8, -s[r].low_min), low.y, sum[1]);
        sum[2] = fmaf(fmaf(as_float(u & 0xfu), s[r].low0, -s[r].low_min), low.z, sum[2]);
        sum[3] = fmaf(fmaf(as_float(u & 0xf00u), s[r].low8, -s[r].low_min), low.w, sum[3]);
        sum[0] = fmaf(fmaf(as_float(v & 0xf0u), s[r].high4, -s[r].high_min), high.x, sum[0]);
        sum[1] = fmaf(fmaf(as_float(v & 0xf000u), s[r].high12, -s[r].high_min), high.y, sum[1]);
        sum[2] = fmaf(fmaf(as_float(u & 0xf0u), s[r].high4, -s[r].high_min), high.z, sum[2]);
        sum[3] = fmaf(fmaf(as_float(u & 0xf000u), s[r].high12, -s[r].high_min), high.w, sum[3]);
      }
    }
  }
};

template <>
struct GemvLane<WeightType::q5_K> {
  static constexpr int kTile = 2048, kSmall = kSmallBits, kStages = 3;
  using Tile = GemvTile<WeightType::q5_K, kTile>;

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int left,
                                             int lane, const uint4* words, const float4* x, int tile,
                                             float (&sums)[R][kSums]) {
    const uint4* block = words + lane / 4 * 11;
    const uint4* nibbles = block + 3 + lane % 4 * 2;
    using gemv::as_float;
    const int first = (tile + gemv::swizzle(lane * 16)) * 16;
    gemv::PairScales s[R];
    uint4 low_bits[R] = {}, high_bits[R] = {};
    const gemv::PairPlace place(lane % 4);
    float high0[R], high8[R];  // five bits at 4 and 12 would need a place more, so both nibbles come down
    GRETA_UNROLL
    for (int r = 0; r < R; ++r) {
      s[r] = gemv::pair_scales(block[r * kStride], place, lane * 64 < left);
      high0[r] = s[r].high4 * 16.0f;
      high8[r] = s[r].high12 * 16.0f;
    }
    const int fifth = lane % 4 * 2;
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) {
      if (i % 4 == 0) {
        GRETA_UNROLL
        for (int r = 0; r < R; ++r) {
          low_bits[r] = nibbles[r * kStride + i / 4];
          high_bits[r] = block[r * kStride + 1 + i / 4];  // bit j of byte l: of value l of sub-block j
        }
      }
      const float4 low = gemv::x_at(x, first, i), high = gemv::x_at(x, first, 8 + i);
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const uint32_t q = gemv::word_of(low_bits[r], i % 4);
        const uint32_t h = gemv::word_of(high_bits[r], i % 4) >> fifth;
        const uint32_t v = (q & 0x0f0f0f0fu) | (h << 4 & 0x10101010u), u = v >> 16;
        const uint32_t w = (q >> 4 & 0x0f0f0f0fu) | (h << 3 & 0x10101010u), t = w >> 16;
        float* sum = sums[r];
        sum[0] = fmaf(fmaf(as_float(v & 0x1fu), s[r].low0, -s[r].low_min), low.x, sum[0]);
        sum[1] = fmaf(fmaf(as_float(v & 0x1f00u), s[r].low8, -s[r].low_min), low.y, sum[1]);
        sum[2] = fmaf(fmaf(as_float(u & 0x1fu), s[r].low0, -s[r].low_min), low.z, sum[2]);
        sum[3] = fmaf(fmaf(as_float(u & 0x1f00u), s[r].low8, -s[r].low_min), low.w, sum[3]);
        sum[0] = fmaf(fmaf(as_float(w & 0x1fu), high0[r], -s[r].high_min), high.x, sum[0]);
        sum[1] = fmaf(fmaf(as_float(w & 0x1f00u), high8[r], -s[r].high_min), high.y, sum[1]);
        sum[2] = fmaf(fmaf(as_float(t & 0x1fu), high0[r], -s[r].high_min), high.z, sum[2]);
        sum[3] = fmaf(fmaf(as_float(t & 0x1f00u), high8[r], -s[r].high_min), high.w, sum[3]);
      }
    }
  }
};

}  // namespace greta::kernels::inline GRETA_MACHINE
