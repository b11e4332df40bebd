// IEEE binary16 as bits, on every machine. f32_to_f16_rn rounds to nearest, ties to even; both keep NaN,
// infinities and subnormals.
#pragma once

#include <cstdint>

#if defined(GRETA_HIP_NVIDIA)
#include <cuda_fp16.h>
#else
#include <bit>
#endif

namespace greta::kernels::inline GRETA_MACHINE {

using half_bits = uint16_t;

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
#elif defined(__HIP__) || defined(__FLT16_MAX__)
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

}  // namespace greta::kernels::inline GRETA_MACHINE
