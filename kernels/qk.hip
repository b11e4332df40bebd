// scores[s, h, t] = scale · Σ_d q[s, h, d] · k_cache[t, h / (H/Hkv), d] for t <= start + s, else -inf; scale
// = 1/sqrt(Dh) rounded to f32.
//
// A thread a score, blocks of 64 along t; 16 independent sums along d, then a tree. No shared memory, no
// collectives.
#include <cmath>

#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kSums = 16;

__global__ void qk_kernel(const float* q, const float* k_cache, int64_t count, int64_t start, int64_t T,
                          int64_t H, int64_t Hkv, int64_t Dh, float scale, float* scores) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t t = i % T, h = i / T % H, s = i / T / H;
  if (t > start + s) {
    scores[i] = -INFINITY;
    return;
  }
  const float* a = q + (s * H + h) * Dh;
  const float* b = k_cache + (t * Hkv + h / (H / Hkv)) * Dh;
  float sums[kSums] = {};
  int64_t d = 0;
  for (; d + kSums <= Dh; d += kSums) {
    for (int j = 0; j < kSums; ++j) sums[j] = fmaf(a[d + j], b[d + j], sums[j]);
  }
  for (int j = 0; j < kSums; ++j) {
    if (d + j < Dh) sums[j] = fmaf(a[d + j], b[d + j], sums[j]);
  }
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  scores[i] = scale * sums[0];
}

}  // namespace

Attested qk(hipStream_t stream, const float* q, const float* k_cache, int64_t S, int64_t start, int64_t H,
            int64_t Hkv, int64_t Dh, float* scores) {
  require(q != nullptr && k_cache != nullptr && scores != nullptr, "qk", "q, k_cache or scores is null");
  require(S > 0 && start >= 0 && Dh > 0, "qk", "S and Dh are at least 1, start at least 0");
  require(Hkv > 0 && H > 0 && H % Hkv == 0, "qk",
          std::to_string(H) + " heads do not share " + std::to_string(Hkv) + " key heads evenly");
  const int64_t T = start + S, count = S * H * T;
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(Dh)));
  hipLaunchKernelGGL(qk_kernel, dim3(grid_for(count, kBlock, "qk")), dim3(kBlock), 0, stream, q, k_cache,
                     count, start, T, H, Hkv, Dh, scale, scores);
  check_launched("qk");
  return {"qk<sums=" + std::to_string(kSums) + ",block=" + std::to_string(kBlock) + ">",
          sum_contract("qk", "f32", ceil_div(Dh, kSums) + tree_depth(kSums))};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
