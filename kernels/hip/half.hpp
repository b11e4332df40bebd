// IEEE binary16 and bfloat16 (the upper half of a binary32) as bits, on every machine. f32_to_f16_rn and
// f32_to_bf16_rn round to nearest, ties to even; all four keep NaN, infinities and subnormals.
#pragma once

#include <cstdint>

#if defined(GRETA_HIP_NVIDIA)
#include <cuda_fp16.h>
#elif defined(GRETA_HIP_HOST)
#include <bit>
#endif

namespace greta::kernels::inline GRETA_MACHINE {

using half_bits = uint16_t;
enum class Operand { f16, bf16 };  // what the 16 bits are

#if defined(GRETA_HIP_NVIDIA)
__device__ __host__ __forceinline__ half_bits f32_to_f16_rn(float x) {
  const __half h = __float2half_rn(x);
  return static_cast<__half_raw>(h).x;
}
__device__ __host__ __forceinline__ float f16_to_f32(half_bits bits) {
  __half_raw raw;
  raw.x = bits;
  return __half2float(__half(raw));
}
#elif defined(GRETA_HIP_AMD) || defined(__FLT16_MAX__)
// The compiler's own type: one instruction where the machine has it (F16C, CDNA), its library's exact routine
// elsewhere.
__device__ __host__ __forceinline__ half_bits f32_to_f16_rn(float x) {
  return __builtin_bit_cast(half_bits, static_cast<_Float16>(x));
}
__device__ __host__ __forceinline__ float f16_to_f32(half_bits bits) {
  return static_cast<float>(__builtin_bit_cast(_Float16, bits));
}
#else
inline half_bits f32_to_f16_rn(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<half_bits>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u)
    return static_cast<half_bits>(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the value in units of 2^-24 in the low
                                  // bits, rounded by the addition
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<half_bits>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<half_bits>(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}
inline float f16_to_f32(half_bits h) {
  const uint32_t sign = (h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity, or a NaN made quiet
    const uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | (magnitude & 0x3ffu) << 13);
  }
  if (magnitude < 0x400u) {  // subnormal: units of 2^-24
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
}
#endif

__device__ __host__ __forceinline__ half_bits f32_to_bf16_rn(float x) {
#if defined(__CUDA_ARCH__)
  half_bits out;  // one instruction from sm_80 on
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out) : "f"(x));
  return out;
#else
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<half_bits>(bits >> 16 | 0x40u);
  // Half of the last place, less one where the kept part is even: what carries, rounds up.
  return static_cast<half_bits>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}
__device__ __host__ __forceinline__ float bf16_to_f32(half_bits bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

// By what the 16 bits are to be.
template <Operand O>
__device__ __host__ __forceinline__ half_bits f32_to_operand_rn(float x) {
  if constexpr (O == Operand::f16) {
    return f32_to_f16_rn(x);
  } else {
    return f32_to_bf16_rn(x);
  }
}
template <Operand O>
__device__ __host__ __forceinline__ float operand_to_f32(half_bits bits) {
  if constexpr (O == Operand::f16) {
    return f16_to_f32(bits);
  } else {
    return bf16_to_f32(bits);
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
