// The smallest index of the largest value; NaN is never the largest, and a vector of NaN gives 0.
//   plain  one block of 256 threads: each keeps its best of thread, thread + 256, …; thread 0 takes the best
//   of
//          those after one barrier
//   wide   one block of 1024 threads, 4 loads of 16 bytes in flight each: value and index are one 64-bit key,
//          larger for a larger value and for a smaller index, whose maximum crosses waves, then the block
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kThreads = 256;
constexpr int kWideThreads = 1024;
constexpr int kInFlight = 4;

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

// 0 for NaN, so that any number is larger.
__device__ __forceinline__ uint64_t key_of(float value, int32_t index) {
  if (!(value == value)) return 0;
  const float zero_is_positive = value + 0.0f;  // -0 and +0 are equal
  uint32_t bits;
  memcpy(&bits, &zero_is_positive, sizeof(bits));
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(bits) << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}
__device__ __forceinline__ uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
__device__ __forceinline__ uint64_t largest_of_wave(uint64_t key) {
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) key = larger(key, wave_shuffle_xor(key, mask));
  return key;
}

template <int kWidth>
__global__ void __launch_bounds__(kWideThreads)
    argmax_wide_kernel(const float* x, int32_t packs, int32_t count, int32_t* out) {
  GRETA_SHARED(uint64_t, keys, kWideThreads / kSmallestWave);
  const int thread = static_cast<int>(threadIdx.x);
  uint64_t best = 0;
  for (int64_t first = thread; first < packs; first += kWideThreads * kInFlight) {
    Pack<kWidth> kept[kInFlight];
    GRETA_UNROLL
    for (int p = 0; p < kInFlight; ++p) {
      const int64_t at = first + p * kWideThreads;
      if (at < packs) kept[p] = load_pack<kWidth>(x + at * kWidth);
    }
    GRETA_UNROLL
    for (int p = 0; p < kInFlight; ++p) {
      const int64_t at = first + p * kWideThreads;
      if (at >= packs) break;
      GRETA_UNROLL
      for (int j = 0; j < kWidth; ++j)
        best = larger(best, key_of(kept[p].v[j], static_cast<int32_t>(at * kWidth + j)));
    }
  }
  const int32_t rest = packs * kWidth + thread;
  if (rest < count) best = larger(best, key_of(x[rest], rest));
  best = largest_of_wave(best);
  if (lane_id() == 0) keys[wave_id()] = best;
  __syncthreads();
  if (wave_id() != 0) return;
  best = largest_of_wave(lane_id() < kWideThreads / wave_size() ? keys[lane_id()] : 0);
  if (thread == 0) *out = best == 0 ? 0 : static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(best));
}

}  // namespace

Attested argmax(hipStream_t stream, const float* x, int64_t count, int32_t* out, Tuning tuning) {
  require(x != nullptr && out != nullptr, "argmax", "x or out is null");
  require(count > 0 && count < INT32_MAX - kWideThreads, "argmax",
          std::to_string(count) + " values are not 1 to 2^31 - 1026");
  if (tuning == Tuning::plain) {
    hipLaunchKernelGGL(argmax_kernel, dim3(1), dim3(kThreads), 0, stream, x, count, out);
    check_launched("argmax");
    return {"argmax<block=" + std::to_string(kThreads) + ">", "op=argmax"};
  }
  const int width = aligned_for_packs(x) ? 4 : 1;
  const auto n = static_cast<int32_t>(count);
  if (width == 4) {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(argmax_wide_kernel<4>), dim3(1), dim3(kWideThreads), 0, stream, x,
                       n / 4, n, out);
  } else {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(argmax_wide_kernel<1>), dim3(1), dim3(kWideThreads), 0, stream, x, n,
                       n, out);
  }
  check_launched("argmax");
  return {"argmax<pack=" + std::to_string(width) + ",block=" + std::to_string(kWideThreads) + ">",
          "op=argmax"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
