// Each row of `rows` x `columns`, maximum subtracted; a score of -inf gives exactly 0. A row without any
// score above -inf gives NaN. One expf and one division an element.
//   plain  16 lanes a row, so 4 rows a wave of 64 (2 of 32), one wave a block: maximum and sum cross the
//   lanes
//          in 4 + 4 shuffles. The exponentials wait in `out` between the two passes
//   wide   blocks of 256; a wave a row while 8 packs a lane hold it, else a block a row; scores, then
//          exponentials stay in registers. Rows of more than 16 packs a thread are read three times, and
//          their exponentials computed twice
//
// exp=2: glibc's expf stays under 1 ulp, those of HIP and CUDA under 2 (kernels/card/elementwise_bench
// measures the card's). div=1: division is correctly rounded on all three.
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kLanes = 16;
constexpr int kMostPacksOfWave = 8;

__global__ void softmax_kernel(const float* scores, int64_t rows, int64_t columns, float* out) {
  const int lane = lane_id() % kLanes;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (wave_size() / kLanes) + lane_id() / kLanes;
  const int64_t end = row < rows ? columns : 0;  // idle lanes still shuffle
  const float* from = scores + row * columns;
  float* to = out + row * columns;

  float largest = -INFINITY;
  for (int64_t i = lane; i < end; i += kLanes) largest = fmaxf(largest, from[i]);
  for (int mask = 1; mask < kLanes; mask *= 2) largest = fmaxf(largest, wave_shuffle_xor(largest, mask));

  float sum = 0;
  for (int64_t i = lane; i < end; i += kLanes) {
    to[i] = expf(from[i] - largest);
    sum += to[i];
  }
  for (int mask = 1; mask < kLanes; mask *= 2) sum += wave_shuffle_xor(sum, mask);
  for (int64_t i = lane; i < end; i += kLanes) to[i] = to[i] / sum;
}

template <class Op, int kWidth>
__device__ __forceinline__ void join(Pack<kWidth>& into, const Pack<kWidth>& x) {
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) into.v[j] = Op::join(into.v[j], x.v[j]);
}
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> all(float value) {
  Pack<kWidth> pack;
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) pack.v[j] = value;
  return pack;
}
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> exponentials(Pack<kWidth> x, float largest) {
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) x.v[j] = expf(x.v[j] - largest);
  return x;
}
template <int kWidth>
__device__ __forceinline__ void store_shares(Pack<kWidth> x, float sum, float* out) {
  GRETA_UNROLL
  for (int j = 0; j < kWidth; ++j) x.v[j] = x.v[j] / sum;
  store_pack<kWidth>(out, x);
}

// Rows in registers: a wave (kWaveRow) or the block takes one.
template <int kWidth, int kPacks, bool kWaveRow>
__global__ void __launch_bounds__(kWideBlock, 2)
    softmax_wide_kernel(const float* scores, int64_t rows, int columns, float* out) {
  GRETA_SHARED(float, largest_of_wave, kWideWaves);
  GRETA_SHARED(float, sum_of_wave, kWideWaves);
  const int threads = kWaveRow ? wave_size() : kWideBlock, step = threads * kWidth;
  const int first = (kWaveRow ? lane_id() : static_cast<int>(threadIdx.x)) * kWidth;
  const int64_t row = kWaveRow ? static_cast<int64_t>(blockIdx.x) * (kWideBlock / wave_size()) + wave_id()
                               : static_cast<int64_t>(blockIdx.x);
  const int end = row < rows ? columns : 0;  // idle waves still shuffle
  const float* from = scores + row * columns;
  float* to = out + row * columns;
  const auto over_threads = [&]<class Op>(Pack<kWidth> x, float* shared) {
    const float own = over_pack<Op>(x);
    if constexpr (kWaveRow)
      return over_wave<Op>(own);
    else
      return over_block<Op>(own, shared);
  };

  Pack<kWidth> kept[kPacks];
  GRETA_UNROLL
  for (int p = 0; p < kPacks; ++p) {
    const int i = first + p * step;
    kept[p] = i < end ? load_pack<kWidth>(from + i) : all<kWidth>(-INFINITY);
  }
  Pack<kWidth> best = kept[0];
  GRETA_UNROLL
  for (int p = 1; p < kPacks; ++p) join<Larger>(best, kept[p]);
  const float largest = over_threads.template operator()<Larger>(best, largest_of_wave);
  Pack<kWidth> sums{};
  GRETA_UNROLL
  for (int p = 0; p < kPacks; ++p) {
    kept[p] = exponentials(kept[p], largest);
    join<Plus>(sums, kept[p]);
  }
  const float sum = over_threads.template operator()<Plus>(sums, sum_of_wave);
  GRETA_UNROLL
  for (int p = 0; p < kPacks; ++p) {
    const int i = first + p * step;
    if (i < end) store_shares(kept[p], sum, to + i);
  }
}

// Rows too long for registers.
template <int kWidth>
__global__ void __launch_bounds__(kWideBlock, 2)
    softmax_long_kernel(const float* scores, int columns, float* out) {
  GRETA_SHARED(float, largest_of_wave, kWideWaves);
  GRETA_SHARED(float, sum_of_wave, kWideWaves);
  constexpr int kStep = kWideBlock * kWidth;
  const int first = static_cast<int>(threadIdx.x) * kWidth;
  const float* from = scores + static_cast<int64_t>(blockIdx.x) * columns;
  float* to = out + static_cast<int64_t>(blockIdx.x) * columns;
  Pack<kWidth> best = all<kWidth>(-INFINITY), sums{};
  for (int i = first; i < columns; i += kStep) join<Larger>(best, load_pack<kWidth>(from + i));
  const float largest = over_block<Larger>(over_pack<Larger>(best), largest_of_wave);
  for (int i = first; i < columns; i += kStep)
    join<Plus>(sums, exponentials(load_pack<kWidth>(from + i), largest));
  const float sum = over_block<Plus>(over_pack<Plus>(sums), sum_of_wave);
  for (int i = first; i < columns; i += kStep)
    store_shares(exponentials(load_pack<kWidth>(from + i), largest), sum, to + i);
}

Attested softmax_wide(hipStream_t stream, const float* scores, int64_t rows, int64_t columns, float* out) {
  const bool aligned = aligned_for_packs(scores, out);
  RowSplit split = split_row(columns, wave_size(), aligned);
  const bool wave_row = split.packs > 0 && split.packs <= kMostPacksOfWave;
  const int threads = wave_row ? wave_size() : kWideBlock;
  if (!wave_row) split = split_row(columns, kWideBlock, aligned);
  const unsigned grid = grid_for(rows, kWideBlock / threads, "softmax");
  const int n = static_cast<int>(columns);
  with_row_split(split, [&]<int kWidth, int kPacks>() {
    if constexpr (kPacks == 0) {
      hipLaunchKernelGGL(HIP_KERNEL_NAME(softmax_long_kernel<kWidth>), dim3(grid), dim3(kWideBlock), 0,
                         stream, scores, n, out);
    } else if (!wave_row) {
      hipLaunchKernelGGL(HIP_KERNEL_NAME(softmax_wide_kernel<kWidth, kPacks, false>), dim3(grid),
                         dim3(kWideBlock), 0, stream, scores, rows, n, out);
    } else if constexpr (kPacks <= kMostPacksOfWave) {
      hipLaunchKernelGGL(HIP_KERNEL_NAME(softmax_wide_kernel<kWidth, kPacks, true>), dim3(grid),
                         dim3(kWideBlock), 0, stream, scores, rows, n, out);
    }
  });
  check_launched("softmax");
  const int64_t chain = split.longest(threads, columns) + tree_depth(split.width) + tree_depth(threads);
  return {"softmax<pack=" + std::to_string(split.width) + ",kept=" + std::to_string(split.packs) +
              ",lanes=" + std::to_string(threads) + ",wave=" + std::to_string(wave_size()) + ">",
          "op=softmax chain=" + std::to_string(chain) + " exp=2 div=1"};
}

}  // namespace

Attested softmax(hipStream_t stream, const float* scores, int64_t rows, int64_t columns, float* out,
                 Tuning tuning) {
  require(scores != nullptr && out != nullptr, "softmax", "scores or out is null");
  require(rows > 0 && columns > 0, "softmax", "rows and columns are at least 1");
  require(columns < kLongestRow, "softmax", std::to_string(columns) + " columns are too many for a row");
  if (tuning == Tuning::wide) return softmax_wide(stream, scores, rows, columns, out);
  const int wave = wave_size();
  const std::string name = "softmax<lanes=" + std::to_string(kLanes) + ",wave=" + std::to_string(wave) + ">";
  hipLaunchKernelGGL(softmax_kernel, dim3(grid_for(rows, wave / kLanes, "softmax")), dim3(wave), 0, stream,
                     scores, rows, columns, out);
  check_launched(name);
  const int64_t chain = ceil_div(columns, kLanes) + tree_depth(kLanes);
  return {name, "op=softmax chain=" + std::to_string(chain) + " exp=2 div=1"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
