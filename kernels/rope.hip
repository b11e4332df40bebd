// Interleaved pairs (2i, 2i+1) of each head, i < rope_dims/2, turned by positions[s] · frequency[i]; the
// other dims are copied (Su et al. 2021). A thread a pair, blocks of 64; one sincosf a pair.
//
// The angle is one f32 product; a result is two products, one of them rounded, and one fused addition.
// trig=2: glibc's sincosf stays under 1 ulp, those of HIP and CUDA under 2. freq=f64: the caller computed the
// frequency in f64 and rounded it once.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

__global__ void rope_kernel(const float* x, const float* frequency, const int32_t* positions, int64_t pairs,
                            int64_t heads, int64_t half_dim, int64_t half_rope, float* out) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pair >= pairs) return;
  const int64_t i = pair % half_dim, s = pair / half_dim / heads;
  const float a = x[2 * pair], b = x[2 * pair + 1];
  if (i >= half_rope) {
    out[2 * pair] = a;
    out[2 * pair + 1] = b;
    return;
  }
  float sine, cosine;
  sincosf(static_cast<float>(positions[s]) * frequency[i], &sine, &cosine);
  out[2 * pair] = fmaf(a, cosine, -(b * sine));
  out[2 * pair + 1] = fmaf(a, sine, b * cosine);
}

}  // namespace

Attested rope(hipStream_t stream, const float* x, const float* frequency, const int32_t* positions, int64_t S,
              int64_t heads, int64_t head_dim, int64_t rope_dims, float* out) {
  require(x != nullptr && frequency != nullptr && positions != nullptr && out != nullptr, "rope",
          "a pointer is null");
  require(S > 0 && heads > 0 && head_dim > 0, "rope", "S, heads and head_dim are at least 1");
  require(head_dim % 2 == 0 && rope_dims % 2 == 0 && rope_dims >= 0 && rope_dims <= head_dim, "rope",
          "head_dim " + std::to_string(head_dim) + " and rope_dims " + std::to_string(rope_dims) +
              " must be even, rope_dims at most head_dim");
  const int64_t pairs = S * heads * head_dim / 2;
  hipLaunchKernelGGL(rope_kernel, dim3(grid_for(pairs, kBlock, "rope")), dim3(kBlock), 0, stream, x,
                     frequency, positions, pairs, heads, head_dim / 2, rope_dims / 2, out);
  check_launched("rope");
  return {"rope_interleaved<block=" + std::to_string(kBlock) + ">", "op=rope freq=f64 trig=2"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
