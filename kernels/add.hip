// out = a + b; moves 12 bytes an element.
//   plain  a thread an element, blocks of 64
//   wide   a thread 16 bytes of each, blocks of 256
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct Sum {
  __device__ static float of(float a, float b) { return a + b; }
};

__global__ void add_kernel(const float* a, const float* b, int64_t count, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) out[i] = Sum::of(a[i], b[i]);
}

__global__ void __launch_bounds__(kWideBlock)
    add_wide_kernel(const float* a, const float* b, int64_t count, float* out) {
  map_packs<Sum>(a, b, count, out);
}

}  // namespace

Attested add(hipStream_t stream, const float* a, const float* b, int64_t count, float* out, Tuning tuning) {
  require(a != nullptr && b != nullptr && out != nullptr, "add", "a, b or out is null");
  require(count > 0, "add", "nothing to add");
  const bool wide = tuning == Tuning::wide && aligned_for_packs(a, b, out);
  const int block = wide ? kWideBlock : kBlock;
  if (wide) {
    hipLaunchKernelGGL(add_wide_kernel, dim3(map_grid(count, "add")), dim3(block), 0, stream, a, b, count,
                       out);
  } else {
    hipLaunchKernelGGL(add_kernel, dim3(grid_for(count, block, "add")), dim3(block), 0, stream, a, b, count,
                       out);
  }
  check_launched("add");
  return {std::string("add<") + (wide ? "pack=4," : "") + "block=" + std::to_string(block) + ">", "op=add"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
