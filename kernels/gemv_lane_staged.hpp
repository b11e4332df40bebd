// Lanes of the GEMV for Q6_K, Q8_0 and Q4_0, whose blocks are no multiples of 16 bytes. They need matrices
// that begin at a multiple of 16 bytes and are a multiple of 16 bytes long, since whole words are read.
#pragma once

#include "kernels/gemv_lane.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace gemv {

// 4-byte words that begin at any byte of a tile.
struct ByteWords {
  const uint32_t* words;
  uint32_t shift;
  __device__ __forceinline__ ByteWords(const uint4* tile, int byte)
      : words(reinterpret_cast<const uint32_t*>(tile) + byte / 4), shift(byte % 4 * 8) {}
  __device__ __forceinline__ uint32_t operator[](int i) const {
    return funnel_right(words[i], words[i + 1], shift);
  }
  template <int N>
  __device__ __forceinline__ void read(int first, uint32_t (&out)[N]) const {
    uint32_t low = words[first];
    GRETA_UNROLL
    for (int i = 0; i < N; ++i) {
      const uint32_t high = words[first + i + 1];
      out[i] = funnel_right(low, high, shift);
      low = high;
    }
  }
};

// Four unsigned integers of up to 7 bits (at bit 16 there is no room for 8), one a byte of v.
__device__ __forceinline__ void add_bytes(uint32_t v, float scale0, float scale8, float scale16, float offset,
                                          const float4& x, float (&sum)[kSums]) {
  sum[0] = fmaf(fmaf(as_float(v & 0x7fu), scale0, offset), x.x, sum[0]);
  sum[1] = fmaf(fmaf(as_float(v & 0x7f00u), scale8, offset), x.y, sum[1]);
  sum[2] = fmaf(fmaf(as_float(v & 0x7f0000u), scale16, offset), x.z, sum[2]);
  sum[3] = fmaf(fmaf(as_float(v >> 24), scale0, offset), x.w, sum[3]);
}
// Of up to 8 bits.
__device__ __forceinline__ void add_bytes(uint32_t v, float scale0, float scale8, float offset,
                                          const float4& x, float (&sum)[kSums]) {
  sum[0] = fmaf(fmaf(as_float(v & 0xffu), scale0, offset), x.x, sum[0]);
  sum[1] = fmaf(fmaf(as_float(v & 0xff00u), scale8, offset), x.y, sum[1]);
  sum[2] = fmaf(fmaf(as_float(v >> 16 & 0xffu), scale0, offset), x.z, sum[2]);
  sum[3] = fmaf(fmaf(as_float(v >> 24), scale0, offset), x.w, sum[3]);
}

__device__ __forceinline__ float half_of(uint32_t v) {
  return f16_to_f32(static_cast<uint16_t>(v & 0xffffu));
}

}  // namespace gemv

// Four lanes a block: half h of 128 values, group g of 16 of each 32: 64 values of four scales.
template <>
struct GemvLane<WeightType::q6_K> {
  static constexpr int kTile = 2048, kSmall = kSmallBits, kStages = 3;
  using Tile = GemvTile<WeightType::q6_K, kTile>;

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&row)[R], int k,
                                             int left, int lane, const uint4* words, const float4* x,
                                             int tile, float (&sums)[R][kSums]) {
    const int block = lane / 4, half = lane / 2 % 2, group = lane % 2;
    const int first = (tile + gemv::swizzle(block * 64 + half * 32 + group * 4)) * 16;
    uint32_t low[R][2][4], high[R][4], scales[R][2];
    float d[R];
    GRETA_UNROLL
    for (int r = 0; r < R; ++r) {
      const gemv::ByteWords bytes(words + r * kStride, Tile::skew(row[r], k) + block * 210);
      bytes.read(half * 16 + group * 4, low[r][0]);
      bytes.read(half * 16 + group * 4 + 8, low[r][1]);
      bytes.read(32 + half * 8 + group * 4, high[r]);
      bytes.read(48 + half * 2, scales[r]);
      d[r] = block * 256 < left ? gemv::half_of(bytes[52]) : 0.0f;  // beyond the row lies the next one
    }
    GRETA_UNROLL
    for (int c = 0; c < 4; ++c) {
      float scale0[R], scale8[R], scale16[R], offset[R];
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const int8_t q = static_cast<int8_t>(scales[r][c / 2] >> (c % 2 * 16 + group * 8) & 0xffu);
        const float scale = d[r] * static_cast<float>(q);
        scale0[r] = gemv::at_bit<0>(scale);
        scale8[r] = gemv::at_bit<8>(scale);
        scale16[r] = gemv::at_bit<16>(scale);
        offset[r] = scale * (-32.0f * gemv::power_of_two(-kSmallBits));  // exact, and so is each weight
      }
      GRETA_UNROLL
      for (int i = 0; i < 4; ++i) {
        // first + 8c + i: swizzle() turns it by bits 0 and 1 of c too.
        const float4 xs = gemv::x_turned(x, first, i ^ c / 2 * 4 ^ c % 2, c * 128);
        GRETA_UNROLL
        for (int r = 0; r < R; ++r) {
          const uint32_t nibbles = low[r][c % 2][i] >> c / 2 * 4;
          const uint32_t top = c == 0   ? high[r][i] << 4
                               : c == 1 ? high[r][i] << 2
                               : c == 2 ? high[r][i]
                                        : high[r][i] >> 2;
          gemv::add_bytes((nibbles & 0x0f0f0f0fu) | (top & 0x30303030u), scale0[r], scale8[r], scale16[r],
                          offset[r], xs, sums[r]);
        }
      }
    }
  }
};

// Two blocks of 32 values a lane.
template <WeightType T>
struct GemvLaneOf32 {
  static constexpr int kTile = 2048, kSmall = kSmallBits, kStages = T == WeightType::q8_0 ? 2 : 4;
  using Tile = GemvTile<T, kTile>;

  template <int R, int kStride>
  __device__ static __forceinline__ void add(const GemvMatrix&, const uint8_t* const (&row)[R], int k,
                                             int left, int lane, const uint4* words, const float4* x,
                                             int tile, float (&sums)[R][kSums]) {
    constexpr int kBytes = packing(T).bytes;
    const int first = (tile + gemv::swizzle(lane * 16)) * 16;
    GRETA_UNROLL
    for (int b = 0; b < 2; ++b) {
      const bool inside = lane * 64 + b * 32 < left;
      GRETA_UNROLL
      for (int r = 0; r < R; ++r) {
        const int byte = Tile::skew(row[r], k) + (lane * 2 + b) * kBytes;
        const float d = inside ? gemv::half_of(gemv::ByteWords(words + r * kStride, byte)[0]) : 0.0f;
        const gemv::ByteWords q(words + r * kStride, byte + 2);
        const float scale0 = gemv::at_bit<0>(d), scale8 = gemv::at_bit<8>(d);
        const float offset = d * gemv::power_of_two(-kSmallBits) * (T == WeightType::q8_0 ? -128.0f : -8.0f);
        uint32_t packed[T == WeightType::q8_0 ? 8 : 4];
        q.read(0, packed);
        GRETA_UNROLL
        for (int i = 0; i < 8; ++i) {
          const uint32_t v = T == WeightType::q8_0 ? packed[i] ^ 0x80808080u
                             : i < 4               ? packed[i % 4] & 0x0f0f0f0fu
                                                   : packed[i % 4] >> 4 & 0x0f0f0f0fu;
          gemv::add_bytes(v, scale0, scale8, offset, gemv::x_at(x, first, b * 8 + i), sums[r]);
        }
      }
    }
  }
};
template <>
struct GemvLane<WeightType::q8_0> : GemvLaneOf32<WeightType::q8_0> {};
template <>
struct GemvLane<WeightType::q4_0> : GemvLaneOf32<WeightType::q4_0> {};

}  // namespace greta::kernels::inline GRETA_MACHINE
