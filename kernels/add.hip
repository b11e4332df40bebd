// out = a + b. A thread an element, blocks of 64; moves 12 bytes an element.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

__global__ void add_kernel(const float* a, const float* b, int64_t count, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) out[i] = a[i] + b[i];
}

}  // namespace

Attested add(hipStream_t stream, const float* a, const float* b, int64_t count, float* out) {
  require(a != nullptr && b != nullptr && out != nullptr, "add", "a, b or out is null");
  require(count > 0, "add", "nothing to add");
  hipLaunchKernelGGL(add_kernel, dim3(grid_for(count, kBlock, "add")), dim3(kBlock), 0, stream, a, b, count,
                     out);
  check_launched("add");
  return {"add<block=" + std::to_string(kBlock) + ">", "op=add"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
