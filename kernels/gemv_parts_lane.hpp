// What one wave of the GEMV through the matrix unit does with 16 rows of a block of 256 values. Private to
// the gemv_parts_ files and the fused_ ones.
//
// The block's integers go to the unit's integer product as they are, a byte each, and x as an integer of 31
// bits in four limbs of a byte, so that the sums of a sub-block are exact; its scale and minimum are applied
// to them in f32 (docs/contracts.md, x=i32 w=parts). That costs Q4_K little more than one instruction a
// weight where a conversion to f32 costs five.
//
// Rows of W are A of a product. Which k a product takes is ours to choose: lanes hold 8 k each, those that
// share 16 rows two sub-blocks at wave 32, four at wave 64. Columns of B are the limbs of these sub-blocks,
// zeros where a lane's k are of another one, so the accumulators' columns are a sub-block's four sums each
// and no column is idle. At wave 32 a lane gets two limbs of two rows, and changes one of them with its
// neighbour for the other two limbs of the other. A wave keeps a block of x in registers and goes through all
// its rows.
//
// A lane is a struct:
//   kType    the packing
//   kBytes   of a block
//   kMinima  whether sub-blocks have a minimum; kAdds: a lane's additions a row and block, and over lanes
//   kApart   of parts_row; tile_row(r): the tile's row that is the unit's row r
//   rows_of(map, tile, pitch)   where the lane's rows of a tile lie, the block's first whole word taken off
//   factors, multiply_32        multiply at wave 32 in two steps, the first without x; for
//                               gemv_resident_kernel
//   place_of_x(map, x, zeros), load_x(place, x)
//            the lane's share of B of the block's products, from the block's integers (gemv_parts_x.hpp) and
//            kPartsZeros words of zeros in shared memory
//   multiply(map, tile, pitch, byte, x, sums, sum)
//            sum[i] = what lane and row map.row_of_sum(i) of the unit make of this block. tile: 16 rows in
//            shared memory (parts_row); byte: where in each row the block begins; sums: of x, of the block's
//            eight sub-blocks of 32, in shared memory
#pragma once

#include "kernels/gemv_lane.hpp"
#include "kernels/gemv_lane_staged.hpp"
#include "kernels/hip/dependent_launch.hpp"
#include "kernels/hip/fragment_i8.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kPartsRows = 16;                    // of a tile
inline constexpr int kPartsBlock = 256;                  // values of a block
inline constexpr int kPartsProducts = kPartsBlock / 32;  // of a block
inline constexpr int kMostSums = 4, kMostRowsOfA = 2;    // a lane's

// Where a row of one or several tiles begins, in words of 16 bytes: `pitch` from row to row. As rows may
// begin in the same banks, every other half of a tile is moved by `apart` words.
__host__ __device__ __forceinline__ constexpr int parts_row(int row, int pitch, int apart) {
  return row * pitch + (row >> 3) * apart;
}

// Which rows, columns and k are this lane's (fragment_i8.hpp).
struct PartsMap {
  int lane, group;
  __device__ __forceinline__ PartsMap() : lane(lane_id()), group(wave_size() == 64 ? lane / 16 : lane % 4) {}
  __device__ __forceinline__ static int rows_of_a() { return wave_size() == 64 ? 1 : 2; }
  __device__ __forceinline__ int row_of_a(int i) const {
    return wave_size() == 64 ? lane % 16 : lane / 4 + 8 * i;
  }
  __device__ __forceinline__ static int sums() { return wave_size() == 64 ? 4 : 1; }
  __device__ __forceinline__ int row_of_sum(int i) const {
    return wave_size() == 64 ? lane / 16 * 4 + i : lane / 4 + 8 * part();
  }
  // Which of a product's sub-blocks the lane's k are of, which half of its 16 k they are at wave 32, and
  // which two limbs its accumulators have: the upper ones or the lower.
  __device__ __forceinline__ int sub_of_k() const { return wave_size() == 64 ? group : group / 2; }
  __device__ __forceinline__ int part() const { return lane % 2; }
  // The sub-block and limb, from the top, of the lane's column of B, and the sub-block of its sums.
  __device__ __forceinline__ int column() const { return wave_size() == 64 ? lane % 16 : lane / 4; }
  __device__ __forceinline__ int sub_of_b() const { return column() / 4; }
  __device__ __forceinline__ int limb_of_b() const { return column() % 4; }
  __device__ __forceinline__ int sub_of_sum() const {
    return wave_size() == 64 ? lane % 16 / 4 : lane % 4 / 2;
  }
};

using PartsOfX = IntegersB[kPartsProducts];

// A slot is four neighbouring values; a limb of a block's lies in one piece, a word a slot, and so do the
// others, this many words further on each. kPartsZeros: words of 16 bytes.
inline constexpr int kPartsSlots = kPartsBlock / 4, kPartsLimb = kPartsSlots + 8, kPartsZeros = 16;

// Where a lane's rows of a tile lie: of A, what it reads of them, and those that its sums belong to.
struct PartsRows {
  const uint4 *of_a[kMostRowsOfA], *of_sum[kMostSums];
  // place(row): in words, `before` of it only what A is read from.
  template <class Place>
  __device__ __forceinline__ PartsRows(const PartsMap& map, const uint4* tile, int before,
                                       const Place& place) {
    GRETA_UNROLL
    for (int r = 0; r < kMostRowsOfA; ++r)
      if (r < PartsMap::rows_of_a()) of_a[r] = tile + place(map.row_of_a(r)) + before;
    GRETA_UNROLL
    for (int i = 0; i < kMostSums; ++i)
      if (i < PartsMap::sums()) of_sum[i] = tile + place(map.row_of_sum(i));
  }
  // At wave 32, ahead of a wait (dependent_launch.hpp).
  __device__ __forceinline__ void settle() {
    of_a[0] = settled(of_a[0]), of_a[1] = settled(of_a[1]), of_sum[0] = settled(of_sum[0]);
  }
  __device__ __forceinline__ void advance(int words) {
    of_a[0] += words, of_a[1] += words, of_sum[0] += words;
  }
};

// Where a lane reads its share of x; of[1] at wave 64, every other product.
struct PartsPlaceOfX {
  const uint32_t* of[2];
  // Ahead of a wait (dependent_launch.hpp).
  __device__ __forceinline__ void settle() { of[0] = settled(of[0]); }
};

namespace gemv {

// Behind a block's limbs: sums of x over its sub-blocks of 32, and what brings sums of integers back.
__device__ __forceinline__ float* sums_behind(uint4* x) { return reinterpret_cast<float*>(x + kPartsLimb); }

// Where a lane reads x: its limb from `slot` on, or zeros, as it reads a limb of other k than its own. They
// lie where lanes that read together hit other banks.
__device__ __forceinline__ const uint32_t* limb_at(const uint4* x, int limb, int slot, bool mine,
                                                   const uint4* zeros, int zero) {
  return mine ? reinterpret_cast<const uint32_t*>(x) + limb * kPartsLimb + slot
              : reinterpret_cast<const uint32_t*>(zeros) + zero;
}

// (a & mask) ^ b. One instruction on NVIDIA: two of them are dearer when the compiler arranges them.
__device__ __forceinline__ uint32_t and_xor(uint32_t a, uint32_t mask, uint32_t b) {
#if defined(__CUDA_ARCH__)
  uint32_t both;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(both) : "r"(a), "r"(mask), "r"(b));
  return both;
#else
  return (a & mask) ^ b;
#endif
}

// c + a · x; `first`: c has no value yet. kSigned: a is.
template <bool kSigned>
__device__ __forceinline__ void mma_parts(IntegersAcc& c, const IntegersA& a, const IntegersB& x,
                                          bool first) {
  if (first) c.fill(0);
  c = kSigned || wave_size() == 64 ? mma_s8(a, x, c) : mma_u8(a, x, c);
}

// Sums of integer · x over a sub-block in the rows of a lane's sums, each rounded once: the two upper limbs
// are exact in f32 together, and so are the lower ones.
struct LimbSums {
  float own, beside;  // wave 32: what brings the lane's and its neighbour's limbs together
  __device__ __forceinline__ explicit LimbSums(const PartsMap& map)
      : own(map.part() == 0 ? 65536.0f : 1), beside(map.part() == 0 ? 1 : 65536.0f) {}
  // The row of sum i.
  __device__ __forceinline__ float of(const PartsMap& map, const IntegersAcc& c, int i) const {
    if (wave_size() == 64) {  // four lanes have the limbs
      const int mine = c.x[i], next = wave_shuffle_xor(mine, 1);
      const int two = lane_id() % 2 == 0 ? mine * 256 + next : next * 256 + mine;
      const int others = wave_shuffle_xor(two, 2);
      const bool top = lane_id() % 4 < 2;
      return fmaf(static_cast<float>(top ? two : others), 65536.0f, static_cast<float>(top ? others : two));
    }
    const int first = c.x[0] * 256 + c.x[1], second = c.x[2] * 256 + c.x[3];
    const bool odd = map.part() != 0;
    const int others = wave_shuffle_xor(odd ? first : second, 1);
    return fmaf(static_cast<float>(odd ? second : first), own, static_cast<float>(others) * beside);
  }
};

// A constant for __byte_perm that the compiler takes for a variable: with two constants it would keep the
// selector in a register, and fetch each time.
__device__ __forceinline__ uint32_t in_register(uint32_t v) {
#if defined(__CUDA_ARCH__)
  return v | blockDim.x >> 20;
#else
  return v;
#endif
}

// d times byte i of a word, exactly: an f16 and an integer of 8 bits. On a card the byte becomes the lowest
// bits of the float 2^23 + byte; an infinite d makes NaN.
struct BytesTimes {
  float d, below;
  __device__ __forceinline__ explicit BytesTimes(float d_) : d(d_), below(d_ * -8388608.0f) {}
  __device__ __forceinline__ float operator()(uint32_t word, int i) const {
#if defined(__CUDA_ARCH__)
    return fmaf(d, as_float(__byte_perm(word, in_register(0x4b000000u), 0x7440u | static_cast<unsigned>(i))),
                below);
#else
    return d * static_cast<float>(word >> 8 * i & 0xffu);
#endif
  }
};
// The same of signed bytes whose highest bit was turned: the float is 2^15 + byte, since d · (2^15 + 2^7) is
// exact, too.
struct SignedBytesTimes {
  float d, below;
  __device__ __forceinline__ explicit SignedBytesTimes(float d_) : d(d_), below(d_ * -32896.0f) {}
  __device__ __forceinline__ float operator()(uint32_t turned, int i) const {
#if defined(__CUDA_ARCH__)
    return fmaf(d, as_float(__byte_perm(turned, in_register(0x47u), 0x4505u | static_cast<unsigned>(i) << 4)),
                below);
#else
    return d * static_cast<float>(static_cast<int>(turned >> 8 * i & 0xffu) - 128);
#endif
  }
};

}  // namespace gemv

template <WeightType T>
struct PartsLane;

// Chunk c has sub-block 2c in the low nibbles of its 32 bytes, 2c + 1 in the high ones, which at wave 32 go
// to the unit as 16 times the integer. Wave 64: a group of lanes has a chunk; wave 32: a pair has two, each
// lane 16 bytes of both.
template <>
struct PartsLane<WeightType::q4_K> {
  static constexpr WeightType kType = WeightType::q4_K;
  static constexpr int kBytes = 144, kAdds = 5;
  static constexpr bool kMinima = true;
  static constexpr int kApart = 2;
  using Tile = GemvTile<kType, kPartsBlock>;
  // All rows begin in the same banks, where K is a multiple of 2048: neighbours are of different halves.
  __device__ static __forceinline__ int tile_row(int r) {
    return wave_size() == 64 ? r : (r & 1) << 3 | (r >> 1 & 3) | (r >> 3) << 2;
  }

  __device__ static __forceinline__ PartsPlaceOfX place_of_x(const PartsMap& map, const uint4* x,
                                                             const uint4* zeros) {
    const int sub = map.sub_of_k(), limb = map.limb_of_b();
    return {{gemv::limb_at(x, limb, wave_size() == 64 ? sub * 16 : sub * 32 + map.part() * 4,
                           map.sub_of_b() == sub, zeros, limb < 2 ? 16 : 0)}};
  }
  __device__ static __forceinline__ void load_x(const PartsPlaceOfX& at, PartsOfX& x) {
    GRETA_UNROLL
    for (int high = 0; high < 2; ++high) {
      GRETA_UNROLL
      for (int i = 0; i < 2; ++i) {
        const uint4 four =
            *reinterpret_cast<const uint4*>(at.of[0] + high * 8 + i * (wave_size() == 64 ? 4 : 16));
        x[high * 4 + i * 2] = {{four.x, four.y}}, x[high * 4 + i * 2 + 1] = {{four.z, four.w}};
      }
    }
  }

  __device__ static __forceinline__ void multiply(const PartsMap& map, const uint4* tile, int pitch, int byte,
                                                  const PartsOfX& x, const float* sums,
                                                  float (&sum)[kMostSums]) {
    const PartsRows rows = rows_of(map, tile + byte / 16, pitch);
    wave_size() == 64 ? multiply_64(map, rows, x, sums, sum)
                      : multiply_32(map, rows, 0, factors(map, rows), x, sums, sum);
  }

  __device__ static __forceinline__ PartsRows rows_of(const PartsMap& map, const uint4* tile, int pitch) {
    const int before = wave_size() == 64 ? map.group * 2 : map.sub_of_k() * 4 + map.part();
    return {map, tile, 1 + before, [&](int r) { return parts_row(tile_row(r), pitch, kApart); }};
  }

  // At wave 32 in two steps, the first without x: scales and minima of the lane's row and four sub-blocks.
  struct Factors {
    uint32_t both, scales, minima;  // d and dmin; a byte each
  };
  __device__ static __forceinline__ Factors factors(const PartsMap& map, const PartsRows& rows) {
    const bool upper = map.sub_of_k() != 0;
    const uint4 header = *rows.of_sum[0];
    return {header.x, scales(header.y, header.w, upper), scales(header.z, upper ? header.w >> 4 : 0, upper)};
  }

  __device__ static __forceinline__ void multiply_32(const PartsMap& map, const PartsRows& rows, int,
                                                     const Factors& f, const PartsOfX& x, const float* sums,
                                                     float (&sum)[kMostSums]) {
    const float d = f16_to_f32(static_cast<uint16_t>(f.both & 0xffffu));
    const gemv::BytesTimes scale(d), scale_of_high(d * 0.0625f),
        minimum(f16_to_f32(static_cast<uint16_t>(f.both >> 16)));
    const gemv::LimbSums limbs(map);
    float of_chunk[2];
    const float4 of_x = reinterpret_cast<const float4*>(sums)[map.sub_of_k()];
    GRETA_UNROLL
    for (int chunk = 0; chunk < 2; ++chunk) {
      uint4 q[2];
      GRETA_UNROLL
      for (int r = 0; r < 2; ++r) q[r] = rows.of_a[r][chunk * 2];
      IntegersAcc low, high;
      GRETA_UNROLL
      for (int i = 0; i < 2; ++i) {
        IntegersA of_low_bits, of_high_bits;
        GRETA_UNROLL
        for (int word = 0; word < 2; ++word) {
          GRETA_UNROLL
          for (int r = 0; r < 2; ++r) {
            const uint32_t v = gemv::word_of(q[r], i * 2 + word);
            of_low_bits.x[word * 2 + r] = v & 0x0f0f0f0fu;
            of_high_bits.x[word * 2 + r] = v & 0xf0f0f0f0u;
          }
        }
        gemv::mma_parts<false>(low, of_low_bits, x[chunk * 2 + i], i == 0);
        gemv::mma_parts<false>(high, of_high_bits, x[4 + chunk * 2 + i], i == 0);
      }
      float& own = of_chunk[chunk];
      own = scale(f.scales, chunk * 2) * limbs.of(map, low, 0);
      own = fmaf(scale_of_high(f.scales, chunk * 2 + 1), limbs.of(map, high, 0), own);
      own = fmaf(-minimum(f.minima, chunk * 2), chunk == 0 ? of_x.x : of_x.z, own);
      own = fmaf(-minimum(f.minima, chunk * 2 + 1), chunk == 0 ? of_x.y : of_x.w, own);
    }
    sum[0] = of_chunk[0] + of_chunk[1];
  }

 private:
  // Scales or minima of sub-blocks 0 to 3 (of 4 to 7: `upper`), a byte each; `rest`: the word of the upper
  // ones' four bits.
  __device__ static __forceinline__ uint32_t scales(uint32_t first, uint32_t rest, bool upper) {
    return ((upper ? rest : first) & (upper ? 0x0f0f0f0fu : 0x3f3f3f3fu)) |
           (first >> 2 & (upper ? 0x30303030u : 0u));
  }

  __device__ static __forceinline__ void multiply_64(const PartsMap& map, const PartsRows& rows,
                                                     const PartsOfX& x, const float* sums,
                                                     float (&sum)[kMostSums]) {
    const uint4 q[2] = {rows.of_a[0][0], rows.of_a[0][1]};
    IntegersAcc low, high;
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) {
      IntegersA of_low_bits{}, of_high_bits{};
      GRETA_UNROLL
      for (int word = 0; word < 2; ++word) {
        const uint32_t v = gemv::word_of(q[i / 2], i % 2 * 2 + word);
        of_low_bits.x[word] = v & 0x0f0f0f0fu;
        of_high_bits.x[word] = v >> 4 & 0x0f0f0f0fu;
      }
      gemv::mma_parts<false>(low, of_low_bits, x[i], i == 0);
      gemv::mma_parts<false>(high, of_high_bits, x[4 + i], i == 0);
    }
    const int chunk = map.sub_of_sum(), byte = chunk % 2 * 2;
    const gemv::LimbSums limbs(map);
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint4 header = *rows.of_sum[i];
      const uint32_t factors = scales(header.y, header.w, chunk >= 2),
                     minima = scales(header.z, header.w >> 4, chunk >= 2);
      const gemv::BytesTimes scale(f16_to_f32(static_cast<uint16_t>(header.x & 0xffffu))),
          minimum(f16_to_f32(static_cast<uint16_t>(header.x >> 16)));
      const float of_low = limbs.of(map, low, i), of_high = limbs.of(map, high, i);
      sum[i] = scale(factors, byte) * of_low;
      sum[i] = fmaf(scale(factors, byte + 1), of_high, sum[i]);
      sum[i] = fmaf(-minimum(minima, byte), sums[chunk * 2], sum[i]);
      sum[i] = fmaf(-minimum(minima, byte + 1), sums[chunk * 2 + 1], sum[i]);
      if (map.lane % 4 != 0) sum[i] = 0;  // four lanes have the same
    }
  }
};

// Half a block at a time: 8 sub-blocks of 16 values. A lane has 8 bytes of each of the half's three runs of
// 32: at wave 32 its pair's are 16 neighbours. That is eight values of each quarter of 32, all of its
// sub-block of the quarter's two. They go to the unit as 4(q − 32), which needs the six bits at the top of a
// byte and its first bit turned.
template <>
struct PartsLane<WeightType::q6_K> {
  static constexpr WeightType kType = WeightType::q6_K;
  static constexpr int kBytes = 210, kAdds = 6;
  static constexpr bool kMinima = false;
  static constexpr int kApart = 0;
  using Tile = GemvTile<kType, kPartsBlock>;
  __device__ static __forceinline__ int tile_row(int r) { return r; }

  __device__ static __forceinline__ PartsPlaceOfX place_of_x(const PartsMap& map, const uint4* x,
                                                             const uint4* zeros) {
    const int sub = sub_of_quarter(map);
    const auto at = [&](int own) {
      return gemv::limb_at(x, map.limb_of_b(), first_word(map), map.sub_of_b() == own, zeros,
                           map.sub_of_b() % 2 == 0 ? 4 : 0);
    };
    return {{at(sub), at(wave_size() == 64 ? 2 + sub : sub)}};
  }
  __device__ static __forceinline__ void load_x(const PartsPlaceOfX& at, PartsOfX& x) {
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) {
      GRETA_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter) {
        const uint2 two = *reinterpret_cast<const uint2*>(at.of[wave_size() == 64 ? quarter % 2 : 0] +
                                                          half * 32 + quarter * 8);
        x[half * 4 + quarter] = {{two.x, two.y}};
      }
    }
  }

  __device__ static __forceinline__ PartsRows rows_of(const PartsMap& map, const uint4* tile, int pitch) {
    return {map, tile, 0, [&](int r) { return parts_row(r, pitch, kApart); }};
  }
  __device__ static __forceinline__ void multiply(const PartsMap& map, const uint4* tile, int pitch, int byte,
                                                  const PartsOfX& x, const float*, float (&sum)[kMostSums]) {
    multiply(map, rows_of(map, tile, pitch), byte, x, sum);
  }

  __device__ static __forceinline__ void multiply(const PartsMap& map, const PartsRows& at, int byte,
                                                  const PartsOfX& x, float (&sum)[kMostSums]) {
    const int rows = PartsMap::rows_of_a(), word0 = first_word(map);
    const gemv::LimbSums limbs(map);
    float of_half[kMostSums][2];
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint32_t low[kMostRowsOfA][2][2] = {}, top[kMostRowsOfA][2] = {};
      GRETA_UNROLL
      for (int r = 0; r < rows; ++r) {
        const gemv::ByteWords bytes(at.of_a[r], byte);
        bytes.read(half * 16 + word0, low[r][0]);
        bytes.read(half * 16 + word0 + 8, low[r][1]);
        bytes.read(32 + half * 8 + word0, top[r]);
      }
      IntegersAcc acc;
      GRETA_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter) {
        IntegersA a{};
        GRETA_UNROLL
        for (int word = 0; word < 2; ++word) {
          GRETA_UNROLL
          for (int r = 0; r < rows; ++r) {
            const uint32_t nibbles = low[r][quarter % 2][word], bits = top[r][word];
            // The turned bit comes with the nibbles: one instruction for each of the two.
            a.x[word * rows + r] = gemv::and_xor(
                quarter == 3 ? bits : bits << (6 - 2 * quarter), 0xc0c0c0c0u,
                gemv::and_xor(quarter < 2 ? nibbles << 2 : nibbles >> 2, 0x3c3c3c3cu, 0x80808080u));
          }
        }
        // At wave 64 a product's four sub-blocks are two quarters'.
        gemv::mma_parts<true>(acc, a, x[half * 4 + quarter], wave_size() == 32 || quarter % 2 == 0);
        if (wave_size() == 64 && quarter % 2 == 0) continue;
        GRETA_UNROLL
        for (int i = 0; i < PartsMap::sums(); ++i) {
          const gemv::ByteWords bytes(at.of_sum[i], byte);
          const gemv::SignedBytesTimes scale(gemv::half_of(bytes[52]) * 0.25f);
          const uint32_t scales = bytes[48 + half * 2 + quarter / 2] ^ 0x80808080u;
          const int of_scale = wave_size() == 64 ? map.sub_of_sum() : quarter % 2 * 2 + map.sub_of_sum();
          const float before = quarter < 2 && (wave_size() == 64 || quarter == 0) ? 0.0f : of_half[i][half];
          of_half[i][half] = fmaf(scale(scales, of_scale), limbs.of(map, acc, i), before);
        }
      }
    }
    GRETA_UNROLL
    for (int i = 0; i < PartsMap::sums(); ++i) {
      sum[i] = of_half[i][0] + of_half[i][1];
      if (wave_size() == 64 && map.lane % 4 != 0) sum[i] = 0;  // four lanes have the same
    }
  }

  struct Factors {};
  __device__ static __forceinline__ Factors factors(const PartsMap&, const PartsRows&) { return {}; }
  __device__ static __forceinline__ void multiply_32(const PartsMap& map, const PartsRows& rows, int byte,
                                                     const Factors&, const PartsOfX& x, const float*,
                                                     float (&sum)[kMostSums]) {
    multiply(map, rows, byte, x, sum);
  }

 private:
  // The lane's sub-block of a quarter, and where its 8 bytes begin in 32, in words.
  __device__ static __forceinline__ int sub_of_quarter(const PartsMap& map) {
    return wave_size() == 64 ? map.group % 2 : map.sub_of_k();
  }
  __device__ static __forceinline__ int first_word(const PartsMap& map) {
    return sub_of_quarter(map) * 4 + (wave_size() == 64 ? map.group / 2 : map.part()) * 2;
  }
};

}  // namespace greta::kernels::inline GRETA_MACHINE
