// A tile of the matrix unit's 16-bit operands in shared memory, rows of 64 (128 bytes: all 32 banks), and the
// conversions that fill it.
//
// Chunk c of 8 operands of row r lies at place c ^ (r % 8) of its row, so that the eight rows of a fragment's
// column of chunks lie in different banks. A row's k may be in any order that B has as well
// (gemm_weights.hpp).
#pragma once

#include <cstdint>

#include "kernels/hip/fragment.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kTileK = 64;          // operands in a row
inline constexpr int kTileRowBytes = 128;  // the same in bytes
inline constexpr int kTileChunks = 8;      // of 16 bytes, in a row
inline constexpr int kTileProducts = kTileK / kTile;

// Byte of chunk `chunk` of row `row`.
__device__ __forceinline__ int tile_offset(int row, int chunk) {
  return row * kTileRowBytes + (chunk ^ (row & 7)) * 16;
}

#if defined(GRETA_HIP_NVIDIA)
#ifdef __CUDACC__

// Rows row0 … row0 + 15 (row0 a multiple of 16) and k 16·product … + 15.
__device__ __forceinline__ FragmentA load_a(const uint8_t* tile, int row0, int product) {
  const int lane = lane_id();
  const uint8_t* at = tile + row0 * kTileRowBytes + tile_offset(lane & 15, 2 * product + (lane >> 4));
  uint32_t pairs[4];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(at))));
  FragmentA a;
#pragma unroll
  for (int r = 0; r < 8; ++r) a.x[r] = static_cast<half_bits>(pairs[r / 2] >> r % 2 * 16);
  return a;
}

// Two values rounded to nearest even, `low` in the low 16 bits.
template <Operand O>
__device__ __forceinline__ uint32_t operand_pair(float low, float high) {
  uint32_t pair;
  if constexpr (O == Operand::f16) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}
__device__ __forceinline__ float2 f16_pair_to_f32(uint32_t pair) {
  float2 values;
  asm("{.reg .f16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}"
      : "=f"(values.x), "=f"(values.y)
      : "r"(pair));
  return values;
}

#endif
#else

__device__ __forceinline__ FragmentA load_a(const uint8_t* tile, int row0, int product) {
  FragmentA a;
  const int lane = lane_id();
  for (int r = 0; r < fragment_elements(); r += 2) {  // neighbours in k
    const FragmentCell cell = a_cell(lane, r);
    const int row = row0 + cell.row, k = product * kTile + cell.column;
    __builtin_memcpy(a.x + r, tile + tile_offset(row, k / 8) + k % 8 * 2, 4);
  }
  return a;
}

template <Operand O>
__device__ __forceinline__ uint32_t operand_pair(float low, float high) {
  return static_cast<uint32_t>(f32_to_operand_rn<O>(low)) | static_cast<uint32_t>(f32_to_operand_rn<O>(high))
                                                                << 16;
}
__device__ __forceinline__ float2 f16_pair_to_f32(uint32_t pair) {
  return make_float2(f16_to_f32(static_cast<half_bits>(pair)),
                     f16_to_f32(static_cast<half_bits>(pair >> 16)));
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
