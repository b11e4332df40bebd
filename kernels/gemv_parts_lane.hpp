// What one wave of the GEMV through the matrix unit does with 16 rows of a block of 256 values. Private to
// the gemv_parts_ files and the fused_ ones.
//
// The block's integers go to the unit's integer product as they are, a byte each, and x as an integer of 31
// bits in four limbs of a byte, so that the sums of a sub-block are exact; its scale and minimum are applied
// to them in f32 (docs/contracts.md, x=i32 w=parts). That costs about two instructions a weight where a
// conversion to f32 costs five.
//
// Rows of W are A of a product. Which k a product takes is ours to choose: each of the four groups of lanes
// holds 8 k of one sub-block of its own. Columns of B are the limbs of sub-blocks, zeros where a group's k
// are of another one, so the accumulators' columns are sums of sub-blocks and no lane's work is idle: at wave
// 64 the 16 columns are 4 limbs of 4 sub-blocks; at wave 32 a product has the upper two limbs of 4
// sub-blocks, another one the lower two. A wave keeps a block of x in registers and goes through all its
// rows.
//
// A lane is a struct:
//   kType    the packing
//   kBytes   of a block
//   kMinima  whether sub-blocks have a minimum; kAdds: a lane's additions a row and block (wave 32)
//   load_x(map, slots, x)  the lane's share of B of the block's products; slots: the block's 64
//   multiply(map, tile, pitch, byte, x, sums, sum)
//            sum[i] = what lane and row map.row_of_c(i) make of this block. tile: 16 rows in shared memory,
//            `pitch` words of 16 bytes apart; byte: where in each row the block begins; sums: of x, of the
//            lane's pair of sub-blocks
#pragma once

#include "kernels/gemv_lane.hpp"
#include "kernels/gemv_lane_staged.hpp"
#include "kernels/hip/fragment_i8.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kPartsBlock = 256;                   // values of a block
inline constexpr int kPartsProducts = kPartsBlock / 32;   // of a block and a set of limbs
inline constexpr int kMostRowsOfC = 4, kMostRowsOfA = 2;  // a lane's

// Which rows, columns and groups are this lane's (fragment_i8.hpp).
struct PartsMap {
  int lane, group;
  __device__ __forceinline__ PartsMap() : lane(lane_id()), group(wave_size() == 64 ? lane / 16 : lane % 4) {}
  __device__ __forceinline__ static int rows_of_a() { return wave_size() == 64 ? 1 : 2; }
  __device__ __forceinline__ int row_of_a(int i) const {
    return wave_size() == 64 ? lane % 16 : lane / 4 + 8 * i;
  }
  __device__ __forceinline__ static int rows_of_c() { return wave_size() == 64 ? 4 : 2; }
  __device__ __forceinline__ int row_of_c(int i) const {
    return wave_size() == 64 ? lane / 16 * 4 + i : lane / 4 + 8 * i;
  }
  // Which of a product's four sub-blocks the lane's column of B is of, and that of its accumulator.
  __device__ __forceinline__ int sub_of_b() const { return wave_size() == 64 ? lane % 16 / 4 : lane / 8; }
  __device__ __forceinline__ int sub_of_c() const { return wave_size() == 64 ? lane % 16 / 4 : lane % 4; }
  // Products that share an A: their sets of limbs.
  __device__ __forceinline__ static int sets() { return wave_size() == 64 ? 1 : 2; }
  // The limb of the lane's column of B in the first set, from the top; in the second it is the second after.
  __device__ __forceinline__ int limb_of_b() const { return wave_size() == 64 ? lane % 4 : lane / 4 % 2; }
  // Lanes that hold sums of the same rows: those that differ in these bits.
  __device__ __forceinline__ static int lanes_of_a_row() { return wave_size() == 64 ? 16 : 4; }
};

using PartsOfX = IntegersB[kPartsProducts][2];  // [product][set]
struct PartsSums {
  IntegersAcc of_set[2];
};

namespace gemv {

// Where slot i of x lies: the groups of lanes read slots of neighbouring sub-blocks, or every other one.
__device__ __forceinline__ int place_of_slot(int i) { return i ^ (i >> 4 & 3); }

// A slot: the limbs of four values, a word each, from the top the first, third, second and fourth one, since
// a lane wants the first and third or the second and fourth. Those of the slot at `slot`, or zeros.
__device__ __forceinline__ void load_limbs(const uint4* slot, const PartsMap& map, bool mine, int word,
                                           IntegersB (&b)[2]) {
  const uint32_t kept = mine ? ~0u : 0u;
  const int limb = map.limb_of_b();
  const uint2 two = reinterpret_cast<const uint2*>(slot)[limb % 2];
  b[0].x[word] = (limb < 2 ? two.x : two.y) & kept;
  b[1].x[word] = two.y & kept;
}

// `first`: of a sum, which has no value yet.
template <bool kSigned>
__device__ __forceinline__ void mma_limbs(PartsSums& c, const IntegersA& a, const IntegersB (&b)[2],
                                          bool first) {
  GRETA_UNROLL
  for (int set = 0; set < PartsMap::sets(); ++set) {
    IntegersAcc zero;
    zero.fill(0);
    const IntegersAcc& before = first ? zero : c.of_set[set];
    c.of_set[set] = kSigned || wave_size() == 64 ? mma_s8(a, b[set], before) : mma_u8(a, b[set], before);
  }
}

// Row i's sum of integer · x over a sub-block, rounded once: the two upper limbs are exact in f32 together,
// and so are the lower ones.
__device__ __forceinline__ float sum_of_limbs(const PartsSums& c, int i) {
  int upper, lower;
  if (wave_size() == 64) {  // four lanes have the limbs
    const int own = c.of_set[0].x[i], beside = wave_shuffle_xor(own, 1);
    const int two = lane_id() % 2 == 0 ? own * 256 + beside : beside * 256 + own;
    const int others = wave_shuffle_xor(two, 2);
    const bool top = lane_id() % 4 < 2;
    upper = top ? two : others, lower = top ? others : two;
  } else {
    upper = c.of_set[0].x[2 * i] * 256 + c.of_set[0].x[2 * i + 1];
    lower = c.of_set[1].x[2 * i] * 256 + c.of_set[1].x[2 * i + 1];
  }
  return fmaf(static_cast<float>(upper), 65536.0f, static_cast<float>(lower));
}

}  // namespace gemv

template <WeightType T>
struct PartsLane;

// Group g has bytes 32g … 32g + 31: sub-block 2g in the low nibbles, 2g + 1 in the high ones, which at wave
// 32 go to the unit as 16 times the integer.
template <>
struct PartsLane<WeightType::q4_K> {
  static constexpr WeightType kType = WeightType::q4_K;
  static constexpr int kBytes = 144, kAdds = 4;
  static constexpr bool kMinima = true;
  using Tile = GemvTile<kType, kPartsBlock>;

  __device__ static __forceinline__ void load_x(const PartsMap& map, const uint4* slots, PartsOfX& x) {
    // Slots 16 · group + 8 · odd + 2i + word, turned by the group: four pointers reach them all.
    const bool mine = map.sub_of_b() == map.group;
    const uint4* turned[4];
    GRETA_UNROLL
    for (int low = 0; low < 4; ++low) turned[low] = slots + 16 * map.group + (low ^ map.group);
    GRETA_UNROLL
    for (int odd = 0; odd < 2; ++odd) {
      GRETA_UNROLL
      for (int i = 0; i < 4; ++i) {
        GRETA_UNROLL
        for (int word = 0; word < 2; ++word)
          gemv::load_limbs(turned[i % 2 * 2 + word] + 8 * odd + i / 2 * 4, map, mine, word, x[odd * 4 + i]);
      }
    }
  }

  __device__ static __forceinline__ void multiply(const PartsMap& map, const uint4* tile, int pitch, int byte,
                                             const PartsOfX& x, const float2& sums,
                                             float (&sum)[kMostRowsOfC]) {
    const int rows = PartsMap::rows_of_a();
    tile += byte / 16;
    uint4 q[kMostRowsOfA][2] = {};
    GRETA_UNROLL
    for (int i = 0; i < rows; ++i) {
      // At an even pitch neighbouring rows begin in the same banks: every other one is read the other way
      // round.
      const int row = map.row_of_a(i), turned = ~pitch & row & 1;
      const uint4* const words = tile + row * pitch + 1 + map.group * 2;
      const uint4 first = words[turned], last = words[1 - turned];
      q[i][0] = turned ? last : first;
      q[i][1] = turned ? first : last;
    }
    PartsSums even, odd;
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) {
      IntegersA low{}, high{};
      GRETA_UNROLL
      for (int word = 0; word < 2; ++word) {
        GRETA_UNROLL
        for (int r = 0; r < rows; ++r) {
          const uint32_t v = gemv::word_of(q[r][i / 2], i % 2 * 2 + word);
          low.x[word * rows + r] = v & 0x0f0f0f0fu;
          high.x[word * rows + r] = wave_size() == 64 ? v >> 4 & 0x0f0f0f0fu : v & 0xf0f0f0f0u;
        }
      }
      gemv::mma_limbs<false>(even, low, x[i], i == 0);
      gemv::mma_limbs<false>(odd, high, x[4 + i], i == 0);
    }
    const int pair = map.sub_of_c();
    const gemv::PairPlace place(pair);
    GRETA_UNROLL
    for (int i = 0; i < PartsMap::rows_of_c(); ++i) {
      const Scales s = scales(tile[map.row_of_c(i) * pitch], place);
      const float first = gemv::sum_of_limbs(even, i), second = gemv::sum_of_limbs(odd, i);
      sum[i] = s.low * first;
      sum[i] = fmaf(s.high, second, sum[i]);
      sum[i] = fmaf(-s.low_min, sums.x, sum[i]);
      sum[i] = fmaf(-s.high_min, sums.y, sum[i]);
      if (wave_size() == 64 && map.lane % 4 != 0) sum[i] = 0;  // four lanes have the same
    }
  }

 private:
  struct Scales {  // of a pair's two sub-blocks
    float low, high, low_min, high_min;
  };
  __device__ static __forceinline__ Scales scales(const uint4& header, const gemv::PairPlace& p) {
    const uint32_t scales =
        ((p.split ? header.w : header.y) >> p.shift & p.mask) | (header.y >> p.top_shift & p.top_mask);
    const uint32_t minima =
        ((p.split ? header.w : header.z) >> p.min_shift & p.mask) | (header.z >> p.top_shift & p.top_mask);
    const float d = f16_to_f32(static_cast<uint16_t>(header.x & 0xffffu)),
                dmin = f16_to_f32(static_cast<uint16_t>(header.x >> 16));
    const float high = d * static_cast<float>(scales >> 8);
    return {d * static_cast<float>(scales & 0xffu), wave_size() == 64 ? high : high * 0.0625f,
            dmin * static_cast<float>(minima & 0xffu), dmin * static_cast<float>(minima >> 8)};
  }
};

// Half a block at a time: 8 sub-blocks of 16 values. Group g has bytes 16(g % 2) + 8(g / 2) + 0 … 7 of each
// of the half's two runs of 32: eight values of each quarter of 32, of its sub-block g % 2. They go to the
// unit as 4(q − 32), which needs the six bits at the top of a byte and its first bit turned.
template <>
struct PartsLane<WeightType::q6_K> {
  static constexpr WeightType kType = WeightType::q6_K;
  static constexpr int kBytes = 210, kAdds = 4;
  static constexpr bool kMinima = false;
  using Tile = GemvTile<kType, kPartsBlock>;

  __device__ static __forceinline__ void load_x(const PartsMap& map, const uint4* slots, PartsOfX& x) {
    // Slots 32 · half + 8 · quarter + 4(group % 2) + 2(group / 2) + word, the last two turned by 2 · half +
    // quarter / 2: one pointer, and one for turned ones, reach them all.
    const int own = map.group % 2 * 4;
    const uint4* const turned[2] = {slots + own + map.group / 2 * 2, slots + own + (map.group / 2 ^ 1) * 2};
    GRETA_UNROLL
    for (int quarter = 0; quarter < 4; ++quarter) {
      const bool mine = map.sub_of_b() == (quarter * 2 + map.group % 2) % 4;
      GRETA_UNROLL
      for (int half = 0; half < 2; ++half) {
        GRETA_UNROLL
        for (int word = 0; word < 2; ++word)
          gemv::load_limbs(turned[half] + 32 * half + 8 * quarter + (word ^ quarter / 2), map, mine, word,
                           x[half * 4 + quarter]);
      }
    }
  }

  __device__ static __forceinline__ void multiply(const PartsMap& map, const uint4* tile, int pitch, int byte,
                                             const PartsOfX& x, const float2&, float (&sum)[kMostRowsOfC]) {
    const int rows = PartsMap::rows_of_a(), word0 = map.group % 2 * 4 + map.group / 2 * 2;
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint32_t low[kMostRowsOfA][2][2] = {}, top[kMostRowsOfA][2] = {};
      GRETA_UNROLL
      for (int r = 0; r < rows; ++r) {
        const gemv::ByteWords bytes(tile + map.row_of_a(r) * pitch, byte);
        bytes.read(half * 16 + word0, low[r][0]);
        bytes.read(half * 16 + word0 + 8, low[r][1]);
        bytes.read(32 + half * 8 + word0, top[r]);
      }
      PartsSums first, last;  // of the half's first and last four sub-blocks
      GRETA_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter) {
        IntegersA a{};
        GRETA_UNROLL
        for (int word = 0; word < 2; ++word) {
          GRETA_UNROLL
          for (int r = 0; r < rows; ++r) {
            const uint32_t nibbles = low[r][quarter % 2][word], bits = top[r][word];
            const uint32_t upper = (quarter == 3 ? bits : bits << (6 - 2 * quarter)) & 0xc0c0c0c0u;
            a.x[word * rows + r] =
                ((quarter < 2 ? nibbles << 2 : nibbles >> 2) & 0x3c3c3c3cu) | (upper ^ 0x80808080u);
          }
        }
        gemv::mma_limbs<true>(quarter < 2 ? first : last, a, x[half * 4 + quarter], quarter % 2 == 0);
      }
      const int of_c = map.sub_of_c();
      GRETA_UNROLL
      for (int i = 0; i < PartsMap::rows_of_c(); ++i) {
        const gemv::ByteWords bytes(tile + map.row_of_c(i) * pitch, byte);
        const float d = gemv::half_of(bytes[52]) * 0.25f;
        const auto scale = [&](int word) {
          return d * static_cast<float>(static_cast<int8_t>(bytes[48 + word] >> of_c * 8 & 0xffu));
        };
        const float before = half == 0 ? 0.0f : sum[i];
        sum[i] = fmaf(scale(half * 2), gemv::sum_of_limbs(first, i), before);
        sum[i] = fmaf(scale(half * 2 + 1), gemv::sum_of_limbs(last, i), sum[i]);
      }
    }
    if (wave_size() == 64 && map.lane % 4 != 0) {  // four lanes have the same
      for (float& of_row : sum) of_row = 0;
    }
  }
};

}  // namespace greta::kernels::inline GRETA_MACHINE
