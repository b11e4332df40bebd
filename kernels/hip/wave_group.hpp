// Products of a group of 4 neighbouring waves with a tile in shared memory that all four read: each wave has
// 16 rows of A in its registers and 16 rows of 64 sums. Hopper's unit does them while the waves go on
// (wgmma, PTX ISA "Asynchronous warpgroup level matrix multiply-accumulate"); it is there in builds for
// sm_90a that say -DGRETA_WAVE_GROUPS. Elsewhere a wave goes through the fragments of the tile, in the same
// order of k.
//
//   group_begin(); group_product_by_rows<O>(…) …; group_commit();   then group_wait<N>(), as for copies
//   between the two neither the sums nor A may be touched: group_hold(…) of both keeps the compiler from it
//   shared_written()    by each writing thread after its ordinary stores or waited copies to the tile, before
//                       the barrier: the unit reads shared memory past the ordinary path
#pragma once

#include "kernels/hip/shared_tile.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_WAVE_GROUPS)
inline constexpr bool kWaveGroups = true;
#else
inline constexpr bool kWaveGroups = false;
#endif
inline constexpr int kGroupWaves = 4;
inline constexpr int kGroupTiles = kPanel / kTile;  // of sums: 64 columns

// A in whole registers, two neighbours in k in each: the unit reads them while the wave goes on, so nothing
// may be left to be put together in between.
struct PairsA {
  uint32_t x[kFragmentStorage / 2];
};
__device__ __forceinline__ FragmentA fragment_of(const PairsA& pairs) {
  FragmentA a;
  memcpy(&a, &pairs, sizeof(a));
  return a;
}

// A of a product: a(m, k) = tile(m0 + m, k0 + k), of a tile in shared memory.
__device__ __forceinline__ PairsA pairs_by_rows(const half_bits* tile, int rows, int m0, int k0) {
  PairsA a;
#if defined(__CUDA_ARCH__)
  const int lane = lane_id();
  const FragmentB quarters =
      load_matrices<false>(tile, rows, m0, k0, lane / 8 % 2 * 8 + lane % 8, lane / 16 * 8);
  memcpy(&a, &quarters, sizeof(a));
#else
  for (int i = 0; i < fragment_elements() / 2; ++i) {
    const FragmentCell cell = a_cell(lane_id(), 2 * i);
    memcpy(&a.x[i], tile + tile_at(rows, m0 + cell.row, k0 + cell.column), sizeof(uint32_t));
  }
#endif
  return a;
}

// The same by one wave alone, through its own fragments, done when it returns; TILES of 16 columns.
template <Operand O, int TILES>
__device__ __forceinline__ void wave_product_by_rows(FragmentAcc* sums, const PairsA& a,
                                                     const half_bits* tile, int rows, int n0, int k0,
                                                     bool add) {
  GRETA_UNROLL
  for (int t = 0; t < TILES; ++t) {
    if (!add) sums[t].fill(0);
    mma<O>(sums[t], fragment_of(a), fragment_by_rows(tile, rows, n0 + t * kTile, k0));
  }
}
template <Operand O, int TILES>
__device__ __forceinline__ void wave_product_by_columns(FragmentAcc* sums, const PairsA& a,
                                                        const half_bits* tile, int rows, int k0, int n0,
                                                        bool add) {
  GRETA_UNROLL
  for (int t = 0; t < TILES; ++t) {
    if (!add) sums[t].fill(0);
    mma<O>(sums[t], fragment_of(a), fragment_by_columns(tile, rows, k0, n0 + t * kTile));
  }
}

#if defined(GRETA_WAVE_GROUPS) && defined(__CUDA_ARCH__)

__device__ __forceinline__ void shared_written() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void group_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void group_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N>
__device__ __forceinline__ void group_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
template <int TILES>
__device__ __forceinline__ void group_hold(FragmentAcc (&sums)[TILES]) {
#pragma unroll
  for (int t = 0; t < TILES; ++t) {
#pragma unroll
    for (int r = 0; r < 8; ++r) asm volatile("" : "+f"(sums[t].x[r])::"memory");
  }
}
template <int TILES>
__device__ __forceinline__ void group_hold(PairsA (&a)[TILES]) {
#pragma unroll
  for (int t = 0; t < TILES; ++t) {
#pragma unroll
    for (int r = 0; r < 4; ++r) asm volatile("" : "+r"(a[t].x[r])::"memory");
  }
}

// The unit's word for a tile: address, distances in units of 16 bytes, and the 128-byte swizzle.
__device__ __forceinline__ uint64_t tile_word(const half_bits* at, int leading_bytes, int stride_bytes) {
  return static_cast<uint64_t>(shared_address(at) >> 4 & 0x3fff) |
         static_cast<uint64_t>(leading_bytes >> 4) << 16 | static_cast<uint64_t>(stride_bytes >> 4) << 32 |
         uint64_t{1} << 62;
}

#define GRETA_SUMS(t)                                                                                 \
  "+f"(sums[t].x[0]), "+f"(sums[t].x[1]), "+f"(sums[t].x[2]), "+f"(sums[t].x[3]), "+f"(sums[t].x[4]), \
      "+f"(sums[t].x[5]), "+f"(sums[t].x[6]), "+f"(sums[t].x[7])
#define GRETA_GROUP_PRODUCT(type, transposed)                                                             \
  asm volatile(                                                                                           \
      "{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"                                                    \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type                                         \
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
      "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, add, 1, "       \
      "1, " transposed ";\n}"                                                                             \
      : GRETA_SUMS(0), GRETA_SUMS(1), GRETA_SUMS(2), GRETA_SUMS(3)                                        \
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(word), "r"(static_cast<int>(add)))

template <Operand O, bool TRANSPOSED>
__device__ __forceinline__ void group_product(FragmentAcc* sums, const PairsA& a, uint64_t word, bool add) {
  if constexpr (O == Operand::f16) {
    if constexpr (TRANSPOSED) {
      GRETA_GROUP_PRODUCT("f16", "1");
    } else {
      GRETA_GROUP_PRODUCT("f16", "0");
    }
  } else {
    if constexpr (TRANSPOSED) {
      GRETA_GROUP_PRODUCT("bf16", "1");
    } else {
      GRETA_GROUP_PRODUCT("bf16", "0");
    }
  }
}
#undef GRETA_GROUP_PRODUCT
#undef GRETA_SUMS

// sums(i, n) = (add ? sums(i, n) : 0) + Σ_k a(i, k) · tile(n0 + n, k0 + k), k < 16, n < 64.
template <Operand O>
__device__ __forceinline__ void group_product_by_rows(FragmentAcc* sums, const PairsA& a,
                                                      const half_bits* tile, int rows, int n0, int k0,
                                                      bool add) {
  // Eight rows of a panel are 1024 bytes apart; k steps through the rows' pieces.
  const half_bits* const at = tile + (k0 / kPanel * rows + n0) * kPanel + k0 % kPanel;
  group_product<O, false>(sums, a, tile_word(at, 16, 8 * kPanel * 2), add);
}
// sums(i, n) = (add ? sums(i, n) : 0) + Σ_k a(i, k) · tile(k0 + k, n0 + n); n0: a panel's first column.
template <Operand O>
__device__ __forceinline__ void group_product_by_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0, int n0,
                                                         bool add) {
  const half_bits* const at = tile + (n0 / kPanel * rows + k0) * kPanel;
  group_product<O, true>(sums, a, tile_word(at, 8 * kPanel * 2, 8 * kPanel * 2), add);
}

#else

__device__ __forceinline__ void shared_written() {}
__device__ __forceinline__ void group_begin() {}
__device__ __forceinline__ void group_commit() {}
template <int N>
__device__ __forceinline__ void group_wait() {}
template <class Registers, int TILES>
__device__ __forceinline__ void group_hold(Registers (&)[TILES]) {}

template <Operand O>
__device__ __forceinline__ void group_product_by_rows(FragmentAcc* sums, const PairsA& a,
                                                      const half_bits* tile, int rows, int n0, int k0,
                                                      bool add) {
  wave_product_by_rows<O, kGroupTiles>(sums, a, tile, rows, n0, k0, add);
}
template <Operand O>
__device__ __forceinline__ void group_product_by_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0, int n0,
                                                         bool add) {
  wave_product_by_columns<O, kGroupTiles>(sums, a, tile, rows, k0, n0, add);
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
