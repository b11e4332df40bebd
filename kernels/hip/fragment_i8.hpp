// The matrix unit's product of 8-bit integers into 32-bit ones, which no machine rounds: D = A·B + C, a wave
// a product of 16 rows and 32 k, with 8 columns at wave 32 and 16 at wave 64.
//
// A lane has 8 k, as two words of four: of A for one row (wave 64) or two (wave 32), of B for one column. All
// lanes with the same group() have the same 8 k, which are which is the kernel's choice: A and B must agree.
//   wave 32, mma.sync.m16n8k32 (PTX ISA, "Matrix fragments for mma.m16n8k32"):
//     A rows l/4, l/4 + 8   B column l/4   D rows l/4, l/4 + 8, columns 2(l%4), 2(l%4) + 1   group l%4
//   wave 64, v_mfma_i32_16x16x16i8 twice or v_mfma_i32_16x16x32_i8 (AMD's matrix instruction calculator):
//     A row l%16            B column l%16  D rows 4(l/16) … + 3, column l%16                 group l/16
// B is signed; A is, too, but at wave 32 it may be unsigned (mma_u8).
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

struct IntegersA {
  uint32_t x[4];  // [word][row]
};
struct IntegersB {
  uint32_t x[2];
};
// fill(0) before the first product: of an array of arrays of these, all value-initialised, nvcc 13.0 left the
// last one unwritten.
struct IntegersAcc {
  int32_t x[4];  // wave 32: [row][column]; wave 64: [row]
  __device__ void fill(int32_t value) {
    for (int32_t& own : x) own = value;
  }
};

#if defined(GRETA_HIP_NVIDIA)

#define GRETA_MMA_I8(type)                                                                         \
  IntegersAcc d;                                                                                   \
  asm("mma.sync.aligned.m16n8k32.row.col.s32." type                                                \
      ".s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"                \
      : "=r"(d.x[0]), "=r"(d.x[1]), "=r"(d.x[2]), "=r"(d.x[3])                                     \
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]), "r"(c.x[0]), \
        "r"(c.x[1]), "r"(c.x[2]), "r"(c.x[3]));                                                    \
  return d
__device__ __forceinline__ IntegersAcc mma_s8(const IntegersA& a, const IntegersB& b, const IntegersAcc& c) {
  GRETA_MMA_I8("s8");
}
__device__ __forceinline__ IntegersAcc mma_u8(const IntegersA& a, const IntegersB& b, const IntegersAcc& c) {
  GRETA_MMA_I8("u8");
}
#undef GRETA_MMA_I8

#elif defined(GRETA_HIP_AMD)

__device__ __forceinline__ IntegersAcc mma_s8(const IntegersA& a, const IntegersB& b, const IntegersAcc& c) {
#if defined(__HIP_DEVICE_COMPILE__)
  using Int4 = int32_t __attribute__((ext_vector_type(4)));
  Int4 d = __builtin_bit_cast(Int4, c);
#if defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__)
  const auto pair = [](const uint32_t* x) {
    return static_cast<long>(static_cast<uint64_t>(x[1]) << 32 | x[0]);
  };
  d = __builtin_amdgcn_mfma_i32_16x16x32_i8(pair(a.x), pair(b.x), d, 0, 0, 0);
#else
  for (int word = 0; word < 2; ++word)
    d = __builtin_amdgcn_mfma_i32_16x16x16i8(static_cast<int>(a.x[word]), static_cast<int>(b.x[word]), d, 0,
                                             0, 0);
#endif
  return __builtin_bit_cast(IntegersAcc, d);
#else
  return c;
#endif
}
// There is none: not called at wave 64.
__device__ __forceinline__ IntegersAcc mma_u8(const IntegersA&, const IntegersB&, const IntegersAcc& c) {
  return c;
}

#else

}  // namespace greta::kernels::inline GRETA_MACHINE

namespace greta::kernels::host {
struct MmaIntegers {
  int32_t* c;
  const uint32_t *a, *b;
  bool is_signed;
};
// All lanes' operands as whole tiles. An error when the wave is not full.
void wave_mma_i8(const MmaIntegers& operands, SourceLocation where);
}  // namespace greta::kernels::host

namespace greta::kernels::inline GRETA_MACHINE {

inline IntegersAcc mma_s8(const IntegersA& a, const IntegersB& b, IntegersAcc c,
                          SourceLocation where = SourceLocation::current()) {
  host::wave_mma_i8({c.x, a.x, b.x, true}, where);
  return c;
}
inline IntegersAcc mma_u8(const IntegersA& a, const IntegersB& b, IntegersAcc c,
                          SourceLocation where = SourceLocation::current()) {
  host::wave_mma_i8({c.x, a.x, b.x, false}, where);
  return c;
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
