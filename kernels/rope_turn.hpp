// The arithmetic of RoPE, for the kernels that turn pairs: the angle is one f32 product; a result is two
// products, one of them rounded, and one fused addition. Private to kernels/.
//
// trig=2: glibc's sincosf stays under 1 ulp, those of HIP and CUDA under 2 (kernels/card/elementwise_bench
// measures the card's). freq=f64: the caller computed the frequency in f64 and rounded it once.
#pragma once

#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr const char* kRopeContract = "op=rope freq=f64 trig=2";

struct Turn {
  float sine, cosine;
};
__device__ __forceinline__ Turn turn_by(int32_t position, float frequency) {
  Turn turn;
  sincosf(static_cast<float>(position) * frequency, &turn.sine, &turn.cosine);
  return turn;
}
__device__ __forceinline__ void apply(const Turn& turn, float a, float b, float* to) {
  to[0] = fmaf(a, turn.cosine, -(b * turn.sine));
  to[1] = fmaf(a, turn.sine, b * turn.cosine);
}

inline void require_rope(int64_t head_dim, int64_t rope_dims, const char* op) {
  require(head_dim % 2 == 0 && rope_dims % 2 == 0 && rope_dims >= 0 && rope_dims <= head_dim, op,
          "head_dim " + std::to_string(head_dim) + " and rope_dims " + std::to_string(rope_dims) +
              " must be even, rope_dims at most head_dim");
}

}  // namespace greta::kernels::inline GRETA_MACHINE
