// The smallest index of the largest value; NaN is never the largest, and a vector of NaN gives 0.
//   plain  one block of 256 threads: each keeps its best of thread, thread + 256, …; thread 0 takes the best
//   of
//          those after one barrier
//   wide   blocks of 256, 2 loads of 16 bytes a thread: value and index are one 64-bit key, larger for a
//          larger value and for a smaller index, whose maximum crosses waves, then the block; a second kernel
//          of one block takes the largest of the blocks' keys. Without a workspace for those, one block of
//          1024 threads takes all values
#include <algorithm>

#include "kernels/hip/dependent_launch.hpp"
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kThreads = 256;
constexpr int kAloneThreads = 1024;  // of the one block without a workspace
constexpr int kPacks = 2;
constexpr int kMostWaves = kAloneThreads / kSmallestWave;

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

// The largest of the block's, in thread 0.
__device__ __forceinline__ uint64_t largest_of_block(uint64_t key, uint64_t* per_wave) {
  key = largest_of_wave(key);
  if (lane_id() == 0) per_wave[wave_id()] = key;
  __syncthreads();
  if (wave_id() != 0) return key;
  const int waves = static_cast<int>(blockDim.x) / wave_size();
  return largest_of_wave(lane_id() < waves ? per_wave[lane_id()] : 0);
}
__device__ __forceinline__ int32_t index_of(uint64_t key) {
  return key == 0 ? 0 : static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
}

// Each block its share of the packs, kPacks at a time. keys: one a block; null: this is the only block, and
// the answer goes to `out`.
template <int kWidth>
__global__ void __launch_bounds__(kAloneThreads)
    argmax_wide_kernel(const float* x, int32_t packs, int32_t count, uint64_t* keys, int32_t* out) {
  release_successor();
  wait_for_predecessor();
  GRETA_SHARED(uint64_t, per_wave, kMostWaves);
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  uint64_t best = 0;
  for (int64_t first = thread; first < packs; first += kPacks * step) {
    Pack<kWidth> kept[kPacks];
    GRETA_UNROLL
    for (int p = 0; p < kPacks; ++p) {
      if (first + p * step < packs) kept[p] = load_pack<kWidth>(x + (first + p * step) * kWidth);
    }
    GRETA_UNROLL
    for (int p = 0; p < kPacks; ++p) {
      const int64_t at = first + p * step;
      if (at >= packs) break;
      GRETA_UNROLL
      for (int j = 0; j < kWidth; ++j)
        best = larger(best, key_of(kept[p].v[j], static_cast<int32_t>(at * kWidth + j)));
    }
  }
  const int64_t rest = int64_t{packs} * kWidth + thread;
  if (rest < count) best = larger(best, key_of(x[rest], static_cast<int32_t>(rest)));
  best = largest_of_block(best, per_wave);
  if (threadIdx.x != 0) return;
  if (keys)
    keys[blockIdx.x] = best;
  else
    *out = index_of(best);
}

__global__ void __launch_bounds__(kWideBlock)
    argmax_join_kernel(const uint64_t* keys, int count, int32_t* out) {
  release_successor();
  wait_for_predecessor();
  GRETA_SHARED(uint64_t, per_wave, kMostWaves);
  uint64_t best = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kWideBlock) best = larger(best, keys[i]);
  best = largest_of_block(best, per_wave);
  if (threadIdx.x == 0) *out = index_of(best);
}

Attested argmax_wide(hipStream_t stream, const float* x, int64_t count, int32_t* out, uint64_t* workspace) {
  const int width = aligned_for_packs(x) ? 4 : 1, block = workspace ? kWideBlock : kAloneThreads;
  const auto n = static_cast<int32_t>(count);
  const int64_t blocks =
      workspace ? std::clamp<int64_t>(ceil_div(count, int64_t{width} * kPacks * block), 1, kArgmaxBlocks) : 1;
  const dim3 grid(static_cast<unsigned>(blocks)), threads(static_cast<unsigned>(block));
  if (width == 4) {
    launch_dependent("argmax", argmax_wide_kernel<4>, grid, threads, 0, stream, x, n / 4, n, workspace, out);
  } else {
    launch_dependent("argmax", argmax_wide_kernel<1>, grid, threads, 0, stream, x, n, n, workspace, out);
  }
  check_launched("argmax");
  if (workspace) {
    launch_dependent("argmax: join", argmax_join_kernel, dim3(1), dim3(kWideBlock), 0, stream, workspace,
                     static_cast<int>(blocks), out);
    check_launched("argmax: join");
  }
  return {"argmax<pack=" + std::to_string(width) + ",block=" + std::to_string(block) +
              ",blocks=" + std::to_string(blocks) + ">",
          "op=argmax"};
}

}  // namespace

Attested argmax(hipStream_t stream, const float* x, int64_t count, int32_t* out, Tuning tuning,
                uint64_t* workspace) {
  require(x != nullptr && out != nullptr, "argmax", "x or out is null");
  require(count > 0 && count < INT32_MAX - 1, "argmax",
          std::to_string(count) + " values are not 1 to 2^31 - 3");
  if (tuning == Tuning::wide) return argmax_wide(stream, x, count, out, workspace);
  hipLaunchKernelGGL(argmax_kernel, dim3(1), dim3(kThreads), 0, stream, x, count, out);
  check_launched("argmax");
  return {"argmax<block=" + std::to_string(kThreads) + ">", "op=argmax"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
