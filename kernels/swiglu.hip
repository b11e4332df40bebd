// out = gate / (1 + exp(-gate)) * up (Shazeer 2020). One expf and one division an element; moves 12 bytes.
//   plain  a thread an element, blocks of 64
//   wide   a thread 16 bytes of each, blocks of 256
//
// Four roundings: exp, 1 + e, the quotient, the product. Below gate = -88.7 exp(-gate) is infinite and the
// result 0 (truth: under 1e-36 · |up|). exp=2: glibc's expf stays under 1 ulp, those of HIP and CUDA under 2
// (kernels/card/elementwise_bench measures the card's). div=1: division is correctly rounded on all three.
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct Gated {
  __device__ static float of(float gate, float up) { return gate / (1.0f + expf(-gate)) * up; }
};

__global__ void swiglu_kernel(const float* gate, const float* up, int64_t count, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) out[i] = Gated::of(gate[i], up[i]);
}

__global__ void __launch_bounds__(kWideBlock)
    swiglu_wide_kernel(const float* gate, const float* up, int64_t count, float* out) {
  map_packs<Gated>(gate, up, count, out);
}

}  // namespace

Attested swiglu(hipStream_t stream, const float* gate, const float* up, int64_t count, float* out,
                Tuning tuning) {
  require(gate != nullptr && up != nullptr && out != nullptr, "swiglu", "gate, up or out is null");
  require(count > 0, "swiglu", "nothing to do");
  const bool wide = tuning == Tuning::wide && aligned_for_packs(gate, up, out);
  const int block = wide ? kWideBlock : kBlock;
  if (wide) {
    hipLaunchKernelGGL(swiglu_wide_kernel, dim3(map_grid(count, "swiglu")), dim3(block), 0, stream, gate, up,
                       count, out);
  } else {
    hipLaunchKernelGGL(swiglu_kernel, dim3(grid_for(count, block, "swiglu")), dim3(block), 0, stream, gate,
                       up, count, out);
  }
  check_launched("swiglu");
  return {std::string("swiglu<") + (wide ? "pack=4," : "") + "block=" + std::to_string(block) + ">",
          "op=swiglu exp=2 div=1"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
