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
  static constexpr int kTile = 2048, kRaw = 3, kScratch = 0, kSmall = kSmallBits;

  static constexpr int kStep = kTile / 256 * 144;

  __device__ static __forceinline__ const uint8_t* start(const GemvMatrix& m, int64_t row, int k, int lane) {
    return m.data + row * m.row_bytes + (k / 256 + lane / 4) * 144;
  }

  template <int N>
  __device__ static __forceinline__ void load(const uint8_t* block, int left, int lane, uint4 (&raw)[N]) {
    // Beyond the row the tile's first block again; add() lets it count as zero.
    if (lane * 64 >= left) block -= lane / 4 * (kStep / 8);
    const uint8_t* nibbles = block + 16 + lane % 4 * 32;
    raw[0] = gemv::load_16(block);
    raw[1] = gemv::load_16(nibbles);
    raw[2] = gemv::load_16(nibbles + 16);
  }

  template <int R, int N>
  __device__ static __forceinline__ void stash(const uint4 (&)[R][N], int, uint4*) {}

  template <int R, int N>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int left,
                                             int lane, const uint4 (&raw)[R][N], uint4*, const float4* x,
                                             int tile, float (&sums)[R][kSums]) {
    using gemv::as_float;
    const int first = (tile + gemv::swizzle(lane * 16)) * 16;
    gemv::PairScales s[R];
    const gemv::PairPlace place(lane % 4);
    GRETA_UNROLL
    for (int r = 0; r < R; ++r) s[r] = gemv::pair_scales(raw[r][0], place, lane * 64 < left);
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) {
      const float4 low = gemv::x_at(x, first, i), high = gemv::x_at(x, first, 8 + i);
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const uint32_t v = gemv::word_of(raw[r][1 + i / 4], i % 4), u = v >> 16;
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
  static constexpr int kTile = 2048, kRaw = 5, kScratch = 0, kSmall = kSmallBits;

  static constexpr int kStep = kTile / 256 * 176;

  __device__ static __forceinline__ const uint8_t* start(const GemvMatrix& m, int64_t row, int k, int lane) {
    return m.data + row * m.row_bytes + (k / 256 + lane / 4) * 176;
  }

  template <int N>
  __device__ static __forceinline__ void load(const uint8_t* block, int left, int lane, uint4 (&raw)[N]) {
    // Beyond the row the tile's first block again; add() lets it count as zero.
    if (lane * 64 >= left) block -= lane / 4 * (kStep / 8);
    const uint8_t* nibbles = block + 48 + lane % 4 * 32;
    raw[0] = gemv::load_16(block);
    raw[1] = gemv::load_16(nibbles);
    raw[2] = gemv::load_16(nibbles + 16);
    raw[3] = gemv::load_16(block + 16);  // bit j of byte l: the fifth bit of value l of sub-block j
    raw[4] = gemv::load_16(block + 32);
  }

  template <int R, int N>
  __device__ static __forceinline__ void stash(const uint4 (&)[R][N], int, uint4*) {}

  template <int R, int N>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int left,
                                             int lane, const uint4 (&raw)[R][N], uint4*, const float4* x,
                                             int tile, float (&sums)[R][kSums]) {
    using gemv::as_float;
    const int first = (tile + gemv::swizzle(lane * 16)) * 16;
    gemv::PairScales s[R];
    const gemv::PairPlace place(lane % 4);
    float high0[R], high8[R];  // five bits at 4 and 12 would need a place more, so both nibbles come down
    GRETA_UNROLL
    for (int r = 0; r < R; ++r) {
      s[r] = gemv::pair_scales(raw[r][0], place, lane * 64 < left);
      high0[r] = s[r].high4 * 16.0f;
      high8[r] = s[r].high12 * 16.0f;
    }
    const int fifth = lane % 4 * 2;
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) {
      const float4 low = gemv::x_at(x, first, i), high = gemv::x_at(x, first, 8 + i);
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const uint32_t q = gemv::word_of(raw[r][1 + i / 4], i % 4);
        const uint32_t h = gemv::word_of(raw[r][3 + i / 4], i % 4) >> fifth;
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
