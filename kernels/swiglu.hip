// out = gate / (1 + exp(-gate)) * up (Shazeer 2020). A thread an element, blocks of 64; one expf and one
// division an element.
//
// Four roundings: exp, 1 + e, the quotient, the product. Below gate = -88.7 exp(-gate) is infinite and the
// result 0 (truth: under 1e-36 · |up|). exp=2: glibc's expf stays under 1 ulp, those of HIP and CUDA under 2.
// div=1: division is correctly rounded on all three.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

__global__ void swiglu_kernel(const float* gate, const float* up, int64_t count, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

}  // namespace

Attested swiglu(hipStream_t stream, const float* gate, const float* up, int64_t count, float* out) {
  require(gate != nullptr && up != nullptr && out != nullptr, "swiglu", "gate, up or out is null");
  require(count > 0, "swiglu", "nothing to do");
  hipLaunchKernelGGL(swiglu_kernel, dim3(grid_for(count, kBlock, "swiglu")), dim3(kBlock), 0, stream, gate,
                     up, count, out);
  check_launched("swiglu");
  return {"swiglu<block=" + std::to_string(kBlock) + ">", "op=swiglu exp=2 div=1"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
