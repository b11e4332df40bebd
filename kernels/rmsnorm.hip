// out = x / sqrt(mean(x²) + eps) · weight, per row (Zhang and Sennrich 2019).
//
// A block of 64 threads a row, one barrier: each thread sums the squares at thread, thread + 64, …, then all
// threads add up the 64 sums, each for itself. Costs: the row is read twice, 64 floats of shared memory.
//
// sqrt=2: the square root and the reciprocal are correctly rounded on the host, in CUDA and in HIP (their
// defaults), half an ulp each, and the root's error counts again where the reciprocal's ulp is finer.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kSums = 8;

__global__ void rmsnorm_kernel(const float* x, const float* weight, int64_t columns, float eps, float* out) {
  GRETA_SHARED(float, squares, kBlock);
  const int thread = static_cast<int>(threadIdx.x);
  const float* row = x + static_cast<int64_t>(blockIdx.x) * columns;
  float* out_row = out + static_cast<int64_t>(blockIdx.x) * columns;
  float own = 0;
  for (int64_t i = thread; i < columns; i += kBlock) own = fmaf(row[i], row[i], own);
  squares[thread] = own;
  __syncthreads();
  float sums[kSums] = {};
  for (int i = 0; i < kBlock; i += kSums) {
    for (int j = 0; j < kSums; ++j) sums[j] += squares[i + j];
  }
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  const float scale = 1.0f / sqrtf(sums[0] / static_cast<float>(columns) + eps);
  for (int64_t i = thread; i < columns; i += kBlock) out_row[i] = row[i] * scale * weight[i];
}

}  // namespace

Attested rmsnorm(hipStream_t stream, const float* x, const float* weight, int64_t rows, int64_t columns,
                 float eps, float* out) {
  require(x != nullptr && weight != nullptr && out != nullptr, "rmsnorm", "x, weight or out is null");
  require(rows > 0 && columns > 0, "rmsnorm", "rows and columns are at least 1");
  const std::string name = "rmsnorm<block=" + std::to_string(kBlock) + ">";
  hipLaunchKernelGGL(rmsnorm_kernel, dim3(grid_for(rows, 1, "rmsnorm")), dim3(kBlock), 0, stream, x, weight,
                     columns, eps, out);
  check_launched(name);
  const int64_t chain = ceil_div(columns, kBlock) + kBlock / kSums + tree_depth(kSums);
  return {name, "op=rmsnorm chain=" + std::to_string(chain) + " sqrt=2"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
