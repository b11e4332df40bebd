// Products of a group of 4 neighbouring waves (wave_group.hpp) of 64 or of 128 columns in one instruction:
// with 128 a wave's rows of A are read from its registers half as often.
#pragma once

#include "kernels/hip/wave_group.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_WAVE_GROUPS) && defined(__CUDA_ARCH__)

#define GRETA_SUMS(t)                                                                                 \
  "+f"(sums[t].x[0]), "+f"(sums[t].x[1]), "+f"(sums[t].x[2]), "+f"(sums[t].x[3]), "+f"(sums[t].x[4]), \
      "+f"(sums[t].x[5]), "+f"(sums[t].x[6]), "+f"(sums[t].x[7])
#define GRETA_PRODUCT_128(type, transposed)                                                       \
  asm volatile(                                                                                   \
      "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"                                            \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                \
      " {"                                                                                        \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                    \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "          \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "          \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"            \
      "}, {%64, %65, %66, %67}, %68, add, 1, 1, " transposed ";\n}"                               \
      : GRETA_SUMS(0), GRETA_SUMS(1), GRETA_SUMS(2), GRETA_SUMS(3), GRETA_SUMS(4), GRETA_SUMS(5), \
        GRETA_SUMS(6), GRETA_SUMS(7)                                                              \
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(word), "r"(static_cast<int>(add)))

template <Operand O, bool TRANSPOSED>
__device__ __forceinline__ void group_product_128(FragmentAcc* sums, const PairsA& a, uint64_t word,
                                                  bool add) {
  if constexpr (O == Operand::f16) {
    if constexpr (TRANSPOSED) {
      GRETA_PRODUCT_128("f16", "1");
    } else {
      GRETA_PRODUCT_128("f16", "0");
    }
  } else {
    if constexpr (TRANSPOSED) {
      GRETA_PRODUCT_128("bf16", "1");
    } else {
      GRETA_PRODUCT_128("bf16", "0");
    }
  }
}
#undef GRETA_PRODUCT_128
#undef GRETA_SUMS

// sums(i, n) = (add ? sums(i, n) : 0) + Σ_k a(i, k) · tile(n, k0 + k), k < 16, n < 16·TILES.
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_by_rows(FragmentAcc* sums, const PairsA& a,
                                                      const half_bits* tile, int rows, int k0, bool add) {
  static_assert(TILES == kGroupTiles || TILES == 2 * kGroupTiles);
  if constexpr (TILES == kGroupTiles) {
    group_product_by_rows<O>(sums, a, tile, rows, 0, k0, add);
  } else {
    const half_bits* const at = tile + k0 / kPanel * rows * kPanel + k0 % kPanel;
    group_product_128<O, false>(sums, a, tile_word(at, 16, 8 * kPanel * 2), add);
  }
}
// sums(i, n) += Σ_k a(i, k) · tile(k0 + k, n): columns n of one panel or of two, `rows` rows apart.
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_by_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0) {
  static_assert(TILES == kGroupTiles || TILES == 2 * kGroupTiles);
  if constexpr (TILES == kGroupTiles) {
    group_product_by_columns<O>(sums, a, tile, rows, k0, 0, true);
  } else {
    const uint64_t word = tile_word(tile + k0 * kPanel, rows * kPanel * 2, 8 * kPanel * 2);
    group_product_128<O, true>(sums, a, word, true);
  }
}

#else

template <Operand O, int TILES>
__device__ __forceinline__ void group_product_by_rows(FragmentAcc* sums, const PairsA& a,
                                                      const half_bits* tile, int rows, int k0, bool add) {
  wave_product_by_rows<O, TILES>(sums, a, tile, rows, 0, k0, add);
}
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_by_columns(FragmentAcc* sums, const PairsA& a,
                                                         const half_bits* tile, int rows, int k0) {
  wave_product_by_columns<O, TILES>(sums, a, tile, rows, k0, 0, true);
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
