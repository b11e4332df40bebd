// out = x / sqrt(mean(x²) + eps) · weight, per row (Zhang and Sennrich 2019).
//   plain  a block of 64 threads a row, one barrier: each thread sums the squares at thread, thread + 64, …,
//          then all threads add up the 64 sums, each for itself; the row is read twice
//   wide   a block of 256 threads a row, one barrier: each thread keeps its packs of the row in registers and
//          sums each place of its packs apart; the sums cross wave and block in a tree. Rows of more than 16
//          packs a thread are read twice
//
// sqrt=2: the square root and the reciprocal are correctly rounded on the host, in CUDA and in HIP (their
// defaults), half an ulp each, and the root's error counts again where the reciprocal's ulp is finer.
#include "kernels/wide.hpp"

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

template <int kWidth>
__device__ __forceinline__ void add_squares(const Pack<kWidth>& x, Pack<kWidth>& sums) {
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) sums.v[j] = fmaf(x.v[j], x.v[j], sums.v[j]);
}

template <int kWidth>
__device__ __forceinline__ void store_scaled(Pack<kWidth> x, float scale, const float* weight, float* out) {
  const Pack<kWidth> w = load_pack<kWidth>(weight);
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) x.v[j] = x.v[j] * scale * w.v[j];
  store_pack<kWidth>(out, x);
}

// kPacks of the row in the registers of each thread; 0: none.
template <int kWidth, int kPacks>
__global__ void __launch_bounds__(kWideBlock, 2)
    rmsnorm_wide_kernel(const float* x, const float* weight, int columns, float eps, float* out) {
  GRETA_SHARED(float, per_wave, kWideWaves);
  constexpr int kStep = kWidth * kWideBlock;
  const int first = static_cast<int>(threadIdx.x) * kWidth;
  const float* row = x + static_cast<int64_t>(blockIdx.x) * columns;
  float* out_row = out + static_cast<int64_t>(blockIdx.x) * columns;
  Pack<kWidth> kept[kPacks > 0 ? kPacks : 1], sums{};
  if constexpr (kPacks > 0) {
    GRETA_UNROLL
    for (int p = 0; p < kPacks; ++p) {
      const int i = first + p * kStep;
      kept[p] = i < columns ? load_pack<kWidth>(row + i) : Pack<kWidth>{};
    }
    GRETA_UNROLL
    for (int p = 0; p < kPacks; ++p) add_squares(kept[p], sums);
  } else {
    for (int i = first; i < columns; i += kStep) add_squares(load_pack<kWidth>(row + i), sums);
  }
  const float sum = over_block<Plus>(over_pack<Plus>(sums), per_wave);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(columns) + eps);
  if constexpr (kPacks > 0) {
    GRETA_UNROLL
    for (int p = 0; p < kPacks; ++p) {
      const int i = first + p * kStep;
      if (i < columns) store_scaled(kept[p], scale, weight + i, out_row + i);
    }
  } else {
    for (int i = first; i < columns; i += kStep)
      store_scaled(load_pack<kWidth>(row + i), scale, weight + i, out_row + i);
  }
}

Attested rmsnorm_wide(hipStream_t stream, const float* x, const float* weight, int64_t rows, int64_t columns,
                      float eps, float* out) {
  const RowSplit split = split_row(columns, kWideBlock, aligned_for_packs(x, weight, out));
  with_row_split(split, [&]<int kWidth, int kPacks>() {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(rmsnorm_wide_kernel<kWidth, kPacks>),
                       dim3(grid_for(rows, 1, "rmsnorm")), dim3(kWideBlock), 0, stream, x, weight,
                       static_cast<int>(columns), eps, out);
  });
  check_launched("rmsnorm");
  const int64_t chain = split.longest(kWideBlock, columns) + tree_depth(split.width) + tree_depth(kWideBlock);
  return {"rmsnorm<pack=" + std::to_string(split.width) + ",kept=" + std::to_string(split.packs) +
              ",block=" + std::to_string(kWideBlock) + ">",
          "op=rmsnorm chain=" + std::to_string(chain) + " sqrt=2"};
}

}  // namespace

Attested rmsnorm(hipStream_t stream, const float* x, const float* weight, int64_t rows, int64_t columns,
                 float eps, float* out, Tuning tuning) {
  require(x != nullptr && weight != nullptr && out != nullptr, "rmsnorm", "x, weight or out is null");
  require(rows > 0 && columns > 0, "rmsnorm", "rows and columns are at least 1");
  require(columns < kLongestRow, "rmsnorm", std::to_string(columns) + " columns are too many for a row");
  if (tuning == Tuning::wide) return rmsnorm_wide(stream, x, weight, rows, columns, eps, out);
  const std::string name = "rmsnorm<block=" + std::to_string(kBlock) + ">";
  hipLaunchKernelGGL(rmsnorm_kernel, dim3(grid_for(rows, 1, "rmsnorm")), dim3(kBlock), 0, stream, x, weight,
                     columns, eps, out);
  check_launched(name);
  const int64_t chain = ceil_div(columns, kBlock) + kBlock / kSums + tree_depth(kSums);
  return {name, "op=rmsnorm chain=" + std::to_string(chain) + " sqrt=2"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
