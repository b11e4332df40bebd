// Each row of `rows` x `columns`, maximum subtracted; a score of -inf gives exactly 0. A row without any
// score above -inf gives NaN.
//
// 16 lanes a row, so 4 rows a wave of 64 (2 of 32), one wave a block: maximum and sum cross the lanes in 4 +
// 4 shuffles. The exponentials wait in `out` between the two passes. One expf and one division an element.
//
// exp=2: glibc's expf stays under 1 ulp, those of HIP and CUDA under 2. div=1: division is correctly rounded
// on all three.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kLanes = 16;

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

}  // namespace

Attested softmax(hipStream_t stream, const float* scores, int64_t rows, int64_t columns, float* out) {
  require(scores != nullptr && out != nullptr, "softmax", "scores or out is null");
  require(rows > 0 && columns > 0, "softmax", "rows and columns are at least 1");
  const int wave = wave_size();
  const std::string name = "softmax<lanes=" + std::to_string(kLanes) + ",wave=" + std::to_string(wave) + ">";
  hipLaunchKernelGGL(softmax_kernel, dim3(grid_for(rows, wave / kLanes, "softmax")), dim3(wave), 0, stream,
                     scores, rows, columns, out);
  check_launched(name);
  const int64_t chain = ceil_div(columns, kLanes) + tree_depth(kLanes);
  return {name, "op=softmax chain=" + std::to_string(chain) + " exp=2 div=1"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
