// Products of a group of 4 neighbouring waves (wave_group.hpp) of 64 or of 128 columns in one instruction.
//
//   group_product_of_tiles   both operands in shared memory, so A costs no registers
//   group_product_of_columns A in registers, B by columns; with 128 columns a wave's rows of A are read half
//                            as often
#pragma once

#include "kernels/hip/wave_group.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_WAVE_GROUPS) && defined(__CUDA_ARCH__)

#define GRETA_SUMS(t)                                                                                 \
  "+f"(sums[t].x[0]), "+f"(sums[t].x[1]), "+f"(sums[t].x[2]), "+f"(sums[t].x[3]), "+f"(sums[t].x[4]), \
      "+f"(sums[t].x[5]), "+f"(sums[t].x[6]), "+f"(sums[t].x[7])
#define GRETA_SUMS_4(t) GRETA_SUMS(t), GRETA_SUMS(t + 1), GRETA_SUMS(t + 2), GRETA_SUMS(t + 3)
#define GRETA_NAMES_64                                                                                \
  " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GRETA_NAMES_128                                                                               \
  GRETA_NAMES_64                                                                                      \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, " \
  "%51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GRETA_PREDICATE(operand) "{\n.reg .pred add;\nsetp.ne.b32 add, " operand ", 0;\n"

#define GRETA_TILES_64(type)                                                                     \
  asm volatile(GRETA_PREDICATE("%34") "wgmma.mma_async.sync.aligned.m64n64k16.f32." type         \
                                      "." type GRETA_NAMES_64 "}, %32, %33, add, 1, 1, 0, 0;\n}" \
               : GRETA_SUMS_4(0)                                                                 \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
#define GRETA_TILES_128(type)                                                                     \
  asm volatile(GRETA_PREDICATE("%66") "wgmma.mma_async.sync.aligned.m64n128k16.f32." type         \
                                      "." type GRETA_NAMES_128 "}, %64, %65, add, 1, 1, 0, 0;\n}" \
               : GRETA_SUMS_4(0), GRETA_SUMS_4(4)                                                 \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
#define GRETA_COLUMNS_128(type)                                                             \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type GRETA_NAMES_128 \
               "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"                                  \
               : GRETA_SUMS_4(0), GRETA_SUMS_4(4)                                           \
               : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b))

// sums(i, n) = (add ? sums(i, n) : 0) + Σ_k a_tile(a_row0 + i, k0 + k) · tile(n, k0 + k), k < 16, n <
// 16·TILES; a_row0: the group's first row, 16 rows a wave.
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_of_tiles(FragmentAcc* sums, const half_bits* a_tile, int a_rows,
                                                       int a_row0, const half_bits* tile, int rows, int k0,
                                                       bool add) {
  static_assert(TILES == kGroupTiles || TILES == 2 * kGroupTiles);
  const auto word = [&](const half_bits* from, int of_rows, int row) {
    return tile_word(from + (k0 / kPanel * of_rows + row) * kPanel + k0 % kPanel, 16, 8 * kPanel * 2);
  };
  const uint64_t a = word(a_tile, a_rows, a_row0), b = word(tile, rows, 0);
  if constexpr (O == Operand::f16 && TILES == kGroupTiles) GRETA_TILES_64("f16");
  if constexpr (O == Operand::f16 && TILES != kGroupTiles) GRETA_TILES_128("f16");
  if constexpr (O == Operand::bf16 && TILES == kGroupTiles) GRETA_TILES_64("bf16");
  if constexpr (O == Operand::bf16 && TILES != kGroupTiles) GRETA_TILES_128("bf16");
}

// sums(i, n) += Σ_k a(i, k) · tile(k0 + k, n), n < 16·TILES.
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_of_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0) {
  static_assert(TILES == kGroupTiles || TILES == 2 * kGroupTiles);
  if constexpr (TILES == kGroupTiles) {
    group_product_by_columns<O>(sums, a, tile, rows, k0, 0, true);
  } else {  // the second panel lies `rows` rows on
    const uint64_t b = tile_word(tile + k0 * kPanel, rows * kPanel * 2, 8 * kPanel * 2);
    if constexpr (O == Operand::f16) {
      GRETA_COLUMNS_128("f16");
    } else {
      GRETA_COLUMNS_128("bf16");
    }
  }
}
#undef GRETA_TILES_64
#undef GRETA_TILES_128
#undef GRETA_COLUMNS_128
#undef GRETA_PREDICATE
#undef GRETA_NAMES_64
#undef GRETA_NAMES_128
#undef GRETA_SUMS_4
#undef GRETA_SUMS

#else

template <Operand O, int TILES>
__device__ __forceinline__ void group_product_of_tiles(FragmentAcc* sums, const half_bits* a_tile, int a_rows,
                                                       int a_row0, const half_bits* tile, int rows, int k0,
                                                       bool add) {
  FragmentA a;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell cell = a_cell(lane_id(), r);
    a.x[r] = a_tile[tile_at(a_rows, a_row0 + wave_id() % kGroupWaves * kTile + cell.row, k0 + cell.column)];
  }
  PairsA pairs;
  memcpy(&pairs, &a, sizeof(pairs));
  wave_product_by_rows<O, TILES>(sums, pairs, tile, rows, 0, k0, add);
}
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_of_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0) {
  wave_product_by_columns<O, TILES>(sums, a, tile, rows, k0, 0, true);
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
