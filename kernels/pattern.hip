// A known function of index and seed, to be sent down the path of a tap: word i is mix(seed, i). A thread a
// word, blocks of 256.
#include "kernels/evidence.hpp"
#include "kernels/mix.hpp"
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

__global__ void fill_pattern_kernel(uint64_t seed, unsigned char* to, int64_t bytes) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWideBlock + threadIdx.x;
  const uint64_t word = mix(seed, static_cast<uint64_t>(i));
  if (8 * i + 8 <= bytes && reinterpret_cast<uintptr_t>(to) % 8 == 0) {
    reinterpret_cast<uint64_t*>(to)[i] = word;
    return;
  }
  for (int64_t j = 0; j < 8 && 8 * i + j < bytes; ++j)
    to[8 * i + j] = static_cast<unsigned char>(word >> 8 * j);
}

}  // namespace

void fill_pattern(hipStream_t stream, uint64_t seed, void* data, int64_t bytes) {
  require(data != nullptr, "fill_pattern", "data is null");
  require(bytes > 0, "fill_pattern", "nothing to fill");
  hipLaunchKernelGGL(fill_pattern_kernel, dim3(grid_for(bytes, 8 * kWideBlock, "fill_pattern")),
                     dim3(kWideBlock), 0, stream, seed, static_cast<unsigned char*>(data), bytes);
  check_launched("fill_pattern");
}

}  // namespace greta::kernels::inline GRETA_MACHINE
