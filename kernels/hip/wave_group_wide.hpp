// Products of a group of 4 neighbouring waves that are as wide as Hopper's unit takes them (wave_group.hpp
// has those of 64 columns): 128 or 256 columns in one instruction, so that a wave's rows of A are read from
// its registers once for all of them. Elsewhere the wave goes through the tile's fragments.
#pragma once

#include "kernels/hip/wave_group.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_WAVE_GROUPS) && defined(__CUDA_ARCH__)

#define GRETA_SUMS(t)                                                                                 \
  "+f"(sums[t].x[0]), "+f"(sums[t].x[1]), "+f"(sums[t].x[2]), "+f"(sums[t].x[3]), "+f"(sums[t].x[4]), \
      "+f"(sums[t].x[5]), "+f"(sums[t].x[6]), "+f"(sums[t].x[7])
#define GRETA_SUMS_8(t)                                                                      \
  GRETA_SUMS(t), GRETA_SUMS(t + 1), GRETA_SUMS(t + 2), GRETA_SUMS(t + 3), GRETA_SUMS(t + 4), \
      GRETA_SUMS(t + 5), GRETA_SUMS(t + 6), GRETA_SUMS(t + 7)
#define GRETA_A "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(word), "r"(1)
#define GRETA_PRODUCT_128(type)                                                          \
  asm volatile(                                                                          \
      "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"                                   \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                       \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"   \
      "}, {%64, %65, %66, %67}, %68, add, 1, 1, 0;\n}"                                   \
      : GRETA_SUMS_8(0)                                                                  \
      : GRETA_A)
#define GRETA_PRODUCT_256(type)                                                                        \
  asm volatile(                                                                                        \
      "{\n.reg .pred add;\nsetp.ne.b32 add, %133, 0;\n"                                                \
      "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type                                     \
      " {"                                                                                             \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                         \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "               \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "               \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "               \
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "               \
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "               \
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "   \
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127" \
      "}, {%128, %129, %130, %131}, %132, add, 1, 1, 0;\n}"                                            \
      : GRETA_SUMS_8(0), GRETA_SUMS_8(8)                                                               \
      : GRETA_A)

// sums(i, n) += Σ_k a(i, k) · tile(n0 + n, k0 + k), k < 16, n < 16·TILES; the tile has one panel.
template <Operand O, int TILES>
__device__ __forceinline__ void group_product_wide(FragmentAcc* sums, const PairsA& a, const half_bits* tile,
                                                   int rows, int n0, int k0) {
  if constexpr (TILES == kGroupTiles) {
    group_product_by_rows<O>(sums, a, tile, rows, n0, k0, true);
  } else {
    static_assert(TILES == 8 || TILES == 16);
    const uint64_t word = tile_word(tile + n0 * kPanel + k0, 16, 8 * kPanel * 2);
    if constexpr (O == Operand::f16 && TILES == 8) GRETA_PRODUCT_128("f16");
    if constexpr (O == Operand::f16 && TILES == 16) GRETA_PRODUCT_256("f16");
    if constexpr (O == Operand::bf16 && TILES == 8) GRETA_PRODUCT_128("bf16");
    if constexpr (O == Operand::bf16 && TILES == 16) GRETA_PRODUCT_256("bf16");
  }
}
#undef GRETA_PRODUCT_128
#undef GRETA_PRODUCT_256
#undef GRETA_SUMS
#undef GRETA_SUMS_8
#undef GRETA_A

#else

template <Operand O, int TILES>
__device__ __forceinline__ void group_product_wide(FragmentAcc* sums, const PairsA& a, const half_bits* tile,
                                                   int rows, int n0, int k0) {
  wave_product_by_rows<O, TILES>(sums, a, tile, rows, n0, k0, true);
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
