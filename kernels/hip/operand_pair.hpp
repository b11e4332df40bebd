// Two of the matrix unit's 16-bit operands in one register, the first in the low 16 bits.
#pragma once

#include <cstdint>

#include "kernels/hip/half.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_NVIDIA)
#ifdef __CUDACC__

// Both rounded to nearest even.
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
