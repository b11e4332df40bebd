// The smallest index of the largest value; NaN is never the largest, and a vector of NaN gives 0.
//
// One block of 256 threads: each keeps its best of thread, thread + 256, …; thread 0 takes the best of those
// after one barrier.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kThreads = 256;

__global__ void argmax_kernel(const float* x, int64_t count, int32_t* out) {
  GRETA_SHARED(float, values, kThreads);
  GRETA_SHARED(int32_t, indices, kThreads);
  const int thread = static_cast<int>(threadIdx.x);
  float best = -INFINITY;
  int32_t index = INT32_MAX;  // none yet
  for (int64_t i = thread; i < count; i += kThreads) {
    if (x[i] > best || (x[i] == best && index == INT32_MAX)) {
      best = x[i];
      index = static_cast<int32_t>(i);
    }
  }
  values[thread] = best;
  indices[thread] = index;
  __syncthreads();
  if (thread != 0) return;
  for (int i = 1; i < kThreads; ++i) {
    if (values[i] > best || (values[i] == best && indices[i] < index)) {
      best = values[i];
      index = indices[i];
    }
  }
  *out = index == INT32_MAX ? 0 : index;
}

}  // namespace

Attested argmax(hipStream_t stream, const float* x, int64_t count, int32_t* out) {
  require(x != nullptr && out != nullptr, "argmax", "x or out is null");
  require(count > 0 && count < INT32_MAX, "argmax", std::to_string(count) + " values are not 1 to 2^31 - 2");
  hipLaunchKernelGGL(argmax_kernel, dim3(1), dim3(kThreads), 0, stream, x, count, out);
  check_launched("argmax");
  return {"argmax<block=" + std::to_string(kThreads) + ">", "op=argmax"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
