// cache[start + s, :] = rows[s, :]. A thread an element, blocks of 64; moves 8 bytes an element.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

__global__ void kv_write_kernel(const float* rows, int64_t count, float* cache) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) cache[i] = rows[i];
}

}  // namespace

Attested kv_write(hipStream_t stream, const float* rows, int64_t S, int64_t width, int64_t start,
                  float* cache) {
  require(rows != nullptr && cache != nullptr, "kv_write", "rows or cache is null");
  require(S > 0 && width > 0 && start >= 0, "kv_write", "S and width are at least 1, start at least 0");
  hipLaunchKernelGGL(kv_write_kernel, dim3(grid_for(S * width, kBlock, "kv_write")), dim3(kBlock), 0, stream,
                     rows, S * width, cache + start * width);
  check_launched("kv_write");
  return {"kv_write<block=" + std::to_string(kBlock) + ">", "op=copy"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
