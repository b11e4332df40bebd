// Lanes of the GEMV for Q4_K and Q5_K: blocks of 256 values whose size is a multiple of 16 bytes, so that a
// lane loads straight from memory. Four lanes a block, a pair of sub-blocks (64 consecutive values) each.
// Needs matrices that begin at a multiple of 16 bytes.
#pragma once

#include "kernels/gemv_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace gemv {

// Scales and minima of sub-blocks 2p (low nibbles) and 2p + 1 (high nibbles), for integers at bits 0 and 8,
// and 4 and 12.
struct PairScales {
  float low0, low8, high4, high12, low_min, high_min;
};

// header: f16 d, f16 dmin, 12 bytes s (unpack.hpp: scale_min), two bytes of which are decoded at once.
__device__ __forceinline__ PairScales pair_scales(const uint4& header, int pair) {
  const int shift = pair % 2 * 16;
  const uint32_t a = header.y >> shift, b = header.z >> shift, c = header.w >> shift;
  const bool high = pair >= 2;
  const uint32_t scales = high ? (c & 0x0f0fu) | (a >> 2 & 0x3030u) : a & 0x3f3fu;
  const uint32_t minima = high ? (c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u) : b & 0x3f3fu;
  const float d = f16_to_f32(static_cast<uint16_t>(header.x & 0xffffu));
  const float dmin = f16_to_f32(static_cast<uint16_t>(header.x >> 16)) * power_of_two(-kSmallBits);
  const float low = d * static_cast<float>(scales & 0xffu),
              high_scale = d * static_cast<float>(scales >> 8 & 0xffu);
  return {at_bit<0>(low),
          at_bit<8>(low),
          at_bit<4>(high_scale),
          at_bit<12>(high_scale),
          dmin * static_cast<float>(minima & 0xffu),
          dmin * static_cast<float>(minima >> 8 & 0xffu)};
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
    if (left >= kTile || lane * 64 < left) {
      const uint8_t* nibbles = block + 16 + lane % 4 * 32;
      raw[0] = gemv::load_16(block);
      raw[1] = gemv::load_16(nibbles);
      raw[2] = gemv::load_16(nibbles + 16);
    } else {
#pragma unroll
      for (int i = 0; i < kRaw; ++i) raw[i] = make_uint4(0, 0, 0, 0);
    }
  }

  template <int R, int N>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int,
                                             int lane, const uint4 (&raw)[R][N], uint4*, const float4* x,
                                             float (&sums)[R][kSums]) {
    using gemv::as_float;
    gemv::PairScales s[R];
#pragma unroll
    for (int r = 0; r < R; ++r) s[r] = gemv::pair_scales(raw[r][0], lane % 4);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 low = gemv::x_at(x, lane * 16 + i), high = gemv::x_at(x, lane * 16 + 8 + i);
#pragma unroll
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
    if (left >= kTile || lane * 64 < left) {
      const uint8_t* nibbles = block + 48 + lane % 4 * 32;
      raw[0] = gemv::load_16(block);
      raw[1] = gemv::load_16(nibbles);
      raw[2] = gemv::load_16(nibbles + 16);
      raw[3] = gemv::load_16(block + 16);  // bit j of byte l: the fifth bit of value l of sub-block j
      raw[4] = gemv::load_16(block + 32);
    } else {
#pragma unroll
      for (int i = 0; i < kRaw; ++i) raw[i] = make_uint4(0, 0, 0, 0);
    }
  }

  template <int R, int N>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&)[R], int, int,
                                             int lane, const uint4 (&raw)[R][N], uint4*, const float4* x,
                                             float (&sums)[R][kSums]) {
    using gemv::as_float;
    gemv::PairScales s[R];
    float high0[R], high8[R];  // five bits at 4 and 12 would need a place more, so both nibbles come down
#pragma unroll
    for (int r = 0; r < R; ++r) {
      s[r] = gemv::pair_scales(raw[r][0], lane % 4);
      high0[r] = s[r].high4 * 16.0f;
      high8[r] = s[r].high12 * 16.0f;
    }
    const int fifth = lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 low = gemv::x_at(x, lane * 16 + i), high = gemv::x_at(x, lane * 16 + 8 + i);
#pragma unroll
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
