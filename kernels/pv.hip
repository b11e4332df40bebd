// out[s, h, d] = Σ_t p[s, h, t] · v_cache[t, h / (H/Hkv), d], t < T.
//
// A thread 8 neighbouring d, blocks of 64; one sum along t each. No shared memory, no collectives.
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kWidth = 8;

__global__ void pv_kernel(const float* p, const float* v_cache, int64_t threads, int64_t T, int64_t H,
                          int64_t Hkv, int64_t Dh, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= threads) return;
  const int64_t parts = ceil_div(Dh, kWidth);
  const int64_t row = i / parts, d = i % parts * kWidth, h = row % H;  // row = s · H + h
  const float* weights = p + row * T;
  const float* values = v_cache + h / (H / Hkv) * Dh + d;
  float sums[kWidth] = {};
  if (d + kWidth <= Dh) {
    for (int64_t t = 0; t < T; ++t) {
      for (int j = 0; j < kWidth; ++j) sums[j] = fmaf(weights[t], values[t * Hkv * Dh + j], sums[j]);
    }
    for (int j = 0; j < kWidth; ++j) out[row * Dh + d + j] = sums[j];
    return;
  }
  for (int64_t j = 0; d + j < Dh; ++j) {  // the last few of a head
    float sum = 0;
    for (int64_t t = 0; t < T; ++t) sum = fmaf(weights[t], values[t * Hkv * Dh + j], sum);
    out[row * Dh + d + j] = sum;
  }
}

}  // namespace

Attested pv(hipStream_t stream, const float* p, const float* v_cache, int64_t S, int64_t T, int64_t H,
            int64_t Hkv, int64_t Dh, float* out) {
  require(p != nullptr && v_cache != nullptr && out != nullptr, "pv", "p, v_cache or out is null");
  require(S > 0 && T > 0 && Dh > 0, "pv", "S, T and Dh are at least 1");
  require(Hkv > 0 && H > 0 && H % Hkv == 0, "pv",
          std::to_string(H) + " heads do not share " + std::to_string(Hkv) + " value heads evenly");
  const int64_t threads = S * H * ceil_div(Dh, kWidth);
  hipLaunchKernelGGL(pv_kernel, dim3(grid_for(threads, kBlock, "pv")), dim3(kBlock), 0, stream, p, v_cache,
                     threads, T, H, Hkv, Dh, out);
  check_launched("pv");
  return {"pv<width=" + std::to_string(kWidth) + ",block=" + std::to_string(kBlock) + ">",
          sum_contract("pv", "f32", T)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
