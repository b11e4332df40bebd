// What one lane of the matrix unit feeds it of one row of W, from the packed bytes in shared memory straight
// to operands in registers.
//
// A product of 16 k takes 4 k from each of 4 groups of lanes, in no order of ours, so A and B may agree on
// any: a step of kStep values along K is dealt out so that group g owns values that lie together in the
// packed block and share scales. k_of() says which, and the rows of x are laid down in that order
// (gemm_x.hip). A step has kStep/16 products, in parts of 4 (kPanel of x).
//
//   LaneWeights<T> lane;
//   lane.begin(row, group);           // once a step: scales. row: the step's bytes of this row
//   lane.load(row, group, part);      // once a part: packed words
//   lane.template operands<O>(i)      // the four operands of product i of the part
//
// Bits become numbers as f16 subnormals: the bits q alone are q · 2⁻²⁴, which one conversion of a pair makes
// f32, exactly; the scale takes the 2²⁴. Values are those of unpack_chunk (unpack.hpp), bit for bit but for
// the sign of a zero: scale · q is exact there and here, and what follows is one rounding in one fused
// multiply-add.
#pragma once

#include "kernels/fragment_k.hpp"
#include "kernels/hip/operand_pair.hpp"
#include "kernels/hip/shared_tile.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

namespace packed {

// f16 subnormals: as_f16(q) = q · 2⁻²⁴.
inline constexpr float kUnit = 0x1p24f, kUnitHigh = 0x1p20f;  // of bits 0…, of bits 4…

// COUNT words from an address that is a multiple of ALIGN.
template <int ALIGN, int COUNT>
__device__ __forceinline__ void words(const uint8_t* at, uint32_t (&out)[COUNT]) {
  if constexpr (ALIGN >= 16 && COUNT == 4) {
    const uint4 v = *reinterpret_cast<const uint4*>(at);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
  } else if constexpr (ALIGN >= 8 && COUNT == 2) {
    const uint2 v = *reinterpret_cast<const uint2*>(at);
    out[0] = v.x, out[1] = v.y;
  } else if constexpr (ALIGN >= 4) {
    GRETA_UNROLL
    for (int i = 0; i < COUNT; ++i) out[i] = *reinterpret_cast<const uint32_t*>(at + 4 * i);
  } else {  // the words on both sides, shifted together
    const bool odd = reinterpret_cast<uintptr_t>(at) & 2;
    const uint8_t* base = odd ? at - 2 : at;
    uint32_t low = *reinterpret_cast<const uint32_t*>(base);
    GRETA_UNROLL
    for (int i = 0; i < COUNT; ++i) {
      const uint32_t high = *reinterpret_cast<const uint32_t*>(base + 4 * i + 4);
      out[i] = odd ? low >> 16 | high << 16 : low;
      low = high;
    }
  }
}
__device__ __forceinline__ float half_at(const uint8_t* at) {
  return f16_to_f32(*reinterpret_cast<const uint16_t*>(at));
}

struct Four {
  float x[4];
};
// Bytes 0, 2, 1, 3 of a word, times 2⁻²⁴ (`mask` keeps the bits that count; of nibbles 4…7: times 2⁻²⁰).
__device__ __forceinline__ Four bytes(uint32_t word, uint32_t mask) {
  const float2 even = f16_pair_to_f32(word & mask), odd = f16_pair_to_f32(word >> 8 & mask);
  return {{even.x, even.y, odd.x, odd.y}};
}
__host__ __device__ constexpr int byte_of(int e) { return e == 0 ? 0 : e == 1 ? 2 : e == 2 ? 1 : 3; }

// scale · q + offset, rounded to operands.
template <Operand O>
__device__ __forceinline__ uint2 scaled(Four q, float scale, float offset) {
  float v[4];
  GRETA_UNROLL
  for (int e = 0; e < 4; ++e) v[e] = fmaf(scale, q.x[e], offset);
  return make_uint2(operand_pair<O>(v[0], v[1]), operand_pair<O>(v[2], v[3]));
}

inline constexpr uint32_t kLow = 0x000f000f, kHigh = 0x00f000f0, kByte = 0x00ff00ff;

}  // namespace packed

template <WeightType T>
struct LaneWeights;

// Group g owns the sub-blocks 2g and 2g + 1, the low and high nibbles of the same 32 bytes; a part is 8 of
// them. Q5_K likewise, the fifth bits from another 32 bytes that all sub-blocks share.
template <bool FIVE>
struct LaneK45 {
  static constexpr int kStep = 256, kAlign = 16;
  float scale[2], min[2];
  uint32_t nibbles[2], fifth[2];
  int group_;

  __host__ __device__ static constexpr int k_of(int group, int product, int e) {
    const int word = product / 4 * 2 + product % 4 / 2;
    return 64 * group + 32 * (product % 2) + 4 * word + packed::byte_of(e);
  }
  __device__ __forceinline__ void begin(const uint8_t* row, int group) {
    uint32_t head[4];  // d and dmin; s[0..3], s[4..7], s[8..11]: see unpacking::scale_min
    packed::words<16>(row, head);
    const float2 d = f16_pair_to_f32(head[0]);
    // This lane's two sub-blocks are the bytes 2g % 4 and the one after it of each word.
    const int shift = group % 2 * 16;
    const uint32_t s0 = head[1] >> shift, s4 = head[2] >> shift, s8 = head[3] >> shift;
    const bool upper = group >= 2;
    const uint32_t scales = upper ? (s8 & 0x0f0f) | (s0 >> 2 & 0x3030) : s0 & 0x3f3f;
    const uint32_t mins = upper ? (s8 >> 4 & 0x0f0f) | (s4 >> 2 & 0x3030) : s4 & 0x3f3f;
    scale[0] = d.x * static_cast<float>(scales & 0xff) * packed::kUnit;
    scale[1] = d.x * static_cast<float>(scales >> 8 & 0xff) * (FIVE ? packed::kUnit : packed::kUnitHigh);
    min[0] = -(d.y * static_cast<float>(mins & 0xff));
    min[1] = -(d.y * static_cast<float>(mins >> 8 & 0xff));
    group_ = group;
  }
  template <int ALIGN>
  __device__ __forceinline__ void load(const uint8_t* row, int group, int part) {
    packed::words<8>(row + (FIVE ? 48 : 16) + 32 * group + 8 * part, nibbles);
    if constexpr (FIVE) packed::words<8>(row + 16 + 8 * part, fifth);
  }
  template <Operand O>
  __device__ __forceinline__ uint2 operands(int i) const {
    const int high = i % 2;
    packed::Four q;
    if constexpr (FIVE) {
      const uint32_t low = nibbles[i / 2] >> (4 * high) & 0x0f0f0f0f;
      q = packed::bytes(low | (fifth[i / 2] >> (2 * group_ + high) & 0x01010101) << 4, packed::kByte);
    } else {
      q = packed::bytes(nibbles[i / 2], high ? packed::kHigh : packed::kLow);
    }
    return packed::scaled<O>(q, scale[high], min[high]);
  }
};
template <>
struct LaneWeights<WeightType::q4_K> : LaneK45<false> {};
template <>
struct LaneWeights<WeightType::q5_K> : LaneK45<true> {};

// Group g owns the places 16·(g % 2) … + 15 of all four quarters of half g / 2: four scales. A part is 4
// places, product i of it their quarter i.
template <>
struct LaneWeights<WeightType::q6_K> {
  static constexpr int kStep = 256, kAlign = 2;
  float scale[4];
  uint32_t low[2], high;

  __host__ __device__ static constexpr int k_of(int group, int product, int e) {
    return 128 * (group / 2) + 32 * (product % 4) + 16 * (group % 2) + 4 * (product / 4) + packed::byte_of(e);
  }
  __device__ __forceinline__ void begin(const uint8_t* row, int group) {
    const float d = packed::half_at(row + 208) * packed::kUnit;
    const int8_t* scales = reinterpret_cast<const int8_t*>(row + 192) + group / 2 * 8 + group % 2;
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) scale[i] = d * static_cast<float>(scales[2 * i]);
  }
  template <int ALIGN>
  __device__ __forceinline__ void load(const uint8_t* row, int group, int part) {
    const uint8_t* at = row + group / 2 * 64 + group % 2 * 16 + 4 * part;
    uint32_t one[1];
    packed::words<2>(at, one), low[0] = one[0];
    packed::words<2>(at + 32, one), low[1] = one[0];
    packed::words<2>(row + 128 + group / 2 * 32 + group % 2 * 16 + 4 * part, one), high = one[0];
  }
  template <Operand O>
  __device__ __forceinline__ uint2 operands(int i) const {
    const uint32_t nibble = low[i % 2] >> (i / 2 * 4) & 0x0f0f0f0f;
    const packed::Four q = packed::bytes(nibble | (high >> (2 * i) & 0x03030303) << 4, packed::kByte);
    return packed::scaled<O>(q, scale[i], scale[i] * (-32 / packed::kUnit));
  }
};

// Group g owns the blocks 2g and 2g + 1 of eight; a part is half a block.
template <>
struct LaneWeights<WeightType::q8_0> {
  static constexpr int kStep = 256, kAlign = 2;
  float scale;
  uint32_t values[4];

  __host__ __device__ static constexpr int k_of(int group, int product, int e) {
    return 64 * group + 4 * product + packed::byte_of(e);
  }
  __device__ __forceinline__ void begin(const uint8_t*, int) {}
  template <int ALIGN>
  __device__ __forceinline__ void load(const uint8_t* row, int group, int part) {
    const uint8_t* block = row + 34 * (2 * group + part / 2);
    scale = packed::half_at(block) * packed::kUnit;
    packed::words<2>(block + 2 + 16 * (part % 2), values);
  }
  template <Operand O>
  __device__ __forceinline__ uint2 operands(int i) const {  // q + 128 is unsigned
    return packed::scaled<O>(packed::bytes(values[i] ^ 0x80808080u, packed::kByte), scale,
                             scale * (-128 / packed::kUnit));
  }
};

// Group g owns the blocks 2g and 2g + 1 of eight; a part is 8 bytes, their low and high nibbles.
template <>
struct LaneWeights<WeightType::q4_0> {
  static constexpr int kStep = 256, kAlign = 2;
  float scale;
  uint32_t nibbles[2];

  __host__ __device__ static constexpr int k_of(int group, int product, int e) {
    const int part = product / 4, i = product % 4;
    return 64 * group + 32 * (part / 2) + 16 * (i % 2) + 8 * (part % 2) + 4 * (i / 2) + packed::byte_of(e);
  }
  __device__ __forceinline__ void begin(const uint8_t*, int) {}
  template <int ALIGN>
  __device__ __forceinline__ void load(const uint8_t* row, int group, int part) {
    const uint8_t* block = row + 18 * (2 * group + part / 2);
    scale = packed::half_at(block) * packed::kUnit;
    packed::words<2>(block + 2 + 8 * (part % 2), nibbles);
  }
  template <Operand O>
  __device__ __forceinline__ uint2 operands(int i) const {
    const bool high = i % 2;
    return packed::scaled<O>(packed::bytes(nibbles[i / 2], high ? packed::kHigh : packed::kLow),
                             high ? scale * 0x1p-4f : scale, scale * (-8 / packed::kUnit));
  }
};

// Values that are not packed: group g owns 16 in a row; read as they are needed.
template <WeightType T>
struct LaneValues {
  static constexpr int kStep = kPanel, kAlign = packing(T).bytes;
  const uint8_t* at;
  int align;

  __host__ __device__ static constexpr int k_of(int group, int product, int e) {
    return 16 * group + 4 * product + e;
  }
  __device__ __forceinline__ void begin(const uint8_t*, int) {}
  template <int ALIGN>
  __device__ __forceinline__ void load(const uint8_t* row, int group, int) {
    at = row + 16 * packing(T).bytes * group;
    align = ALIGN;
  }
  template <Operand O>
  __device__ __forceinline__ uint2 operands(int i) const {
    if constexpr (T == WeightType::f32) {
      uint32_t bits[4];
      read<4>(at + 16 * i, bits);
      return make_uint2(operand_pair<O>(as_float(bits[0]), as_float(bits[1])),
                        operand_pair<O>(as_float(bits[2]), as_float(bits[3])));
    } else {
      uint32_t pairs[2];
      read<2>(at + 8 * i, pairs);
      if constexpr ((T == WeightType::f16) == (O == Operand::f16)) {
        return make_uint2(pairs[0], pairs[1]);  // operands as they are
      } else {
        const auto values = [](uint32_t pair) {
          if constexpr (T == WeightType::f16) {
            return f16_pair_to_f32(pair);
          } else {
            return make_float2(as_float(pair << 16), as_float(pair & 0xffff0000u));
          }
        };
        const float2 a = values(pairs[0]), b = values(pairs[1]);
        return make_uint2(operand_pair<O>(a.x, a.y), operand_pair<O>(b.x, b.y));
      }
    }
  }

 private:
  __device__ static __forceinline__ float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
  }
  template <int COUNT>
  __device__ __forceinline__ void read(const uint8_t* from, uint32_t (&out)[COUNT]) const {
    if (align == 16) {
      packed::words<4 * COUNT>(from, out);
    } else {
      packed::words<kAlign>(from, out);
    }
  }
};
template <>
struct LaneWeights<WeightType::f32> : LaneValues<WeightType::f32> {};
template <>
struct LaneWeights<WeightType::f16> : LaneValues<WeightType::f16> {};
template <>
struct LaneWeights<WeightType::bf16> : LaneValues<WeightType::bf16> {};

}  // namespace greta::kernels::inline GRETA_MACHINE
