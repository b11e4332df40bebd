// What the fused attention kernels share: which heads they take, the scale, and the words of their contract.
// Private to kernels/.
#pragma once

#include <cmath>
#include <string>

#include "kernels/cache_value.hpp"
#include "kernels/hip/shared_tile.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int64_t kMaxFusedDh = 256;

inline void require_fused(int64_t H, int64_t Hkv, int64_t Dh, const char* op) {
  require_groups(H, Hkv, op, "key and value");
  require(Dh > 0 && Dh % 16 == 0 && Dh <= kMaxFusedDh, op,
          "heads of " + std::to_string(Dh) + " values: the fused kernels take a multiple of 16 up to " +
              std::to_string(kMaxFusedDh) + "; use the unfused kernels qk, softmax and pv");
}

// log2(e) / sqrt(Dh), rounded once: scores are kept for a power of two.
inline float log2_scale(int64_t Dh) {
  return static_cast<float>(1.4426950408889634074 / std::sqrt(static_cast<double>(Dh)));
}

// docs/contracts.md, op=attention. Always rounds=2: the constant above, and one product with it; div=2: a
// reciprocal and a product.
struct AttentionSums {
  int64_t chain, sum, rescales;
};
inline std::string attention_contract(const char* operands, const char* p, AttentionSums sums,
                                      const std::string& unit) {
  return std::string("op=attention x=") + operands + " w=" + operands + " p=" + p +
         " acc=f32 chain=" + std::to_string(sums.chain) + " sum=" + std::to_string(sums.sum) +
         " rescales=" + std::to_string(sums.rescales) + " rounds=2 exp=2 div=2 unit=" + unit;
}

// The exponential of the fused kernels, under 2 ulp: NVIDIA's own instruction (2^-22.5 of the value), AMD's
// (1 ulp), the host's library. Below 2^-126 the cards give 0.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#elif defined(GRETA_HIP_AMD) && defined(__HIP_DEVICE_COMPILE__) && __has_builtin(__builtin_amdgcn_exp2f)
  return __builtin_amdgcn_exp2f(x);
#else  // clang before 17 has no name for AMD's instruction
  return exp2f(x);
#endif
}

}  // namespace greta::kernels::inline GRETA_MACHINE
