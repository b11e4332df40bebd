// scores[s, h, t] = scale · Σ_d q[s, h, d] · k_cache[t, h / (H/Hkv), d] for t <= start + s, else -inf; scale
// = 1/sqrt(Dh) rounded to f32.
//
// plain: a thread a score, blocks of 64 along t; 16 independent sums along d, then a tree. No shared memory,
// no collectives.
// wide: a block 32 queries of a head by 64 keys, both through shared memory in slices of 32 dims, a thread 4
// by 4 scores; the sums of the slices are added up, so no chain is longer than 32 + Dh/32. Tiles that the
// mask covers are only filled.
#include <cmath>

#include "kernels/attention_tile.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kSums = 16;

struct Scores {
  const float* q;
  int64_t S, start, T, H, Hkv, Dh;
  float scale;
  float* scores;
};

template <CacheType C>
__global__ void qk_kernel(Scores c, const typename CacheValue<C>::Stored* k_cache) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= c.S * c.H * c.T) return;
  const int64_t t = i % c.T, h = i / c.T % c.H, s = i / c.T / c.H;
  if (t > c.start + s) {
    c.scores[i] = -INFINITY;
    return;
  }
  const float* a = c.q + (s * c.H + h) * c.Dh;
  const typename CacheValue<C>::Stored* b = k_cache + (t * c.Hkv + h / (c.H / c.Hkv)) * c.Dh;
  float sums[kSums] = {};
  int64_t d = 0;
  for (; d + kSums <= c.Dh; d += kSums) {
    for (int j = 0; j < kSums; ++j) sums[j] = fmaf(a[d + j], CacheValue<C>::to_f32(b[d + j]), sums[j]);
  }
  for (int j = 0; j < kSums; ++j) {
    if (d + j < c.Dh) sums[j] = fmaf(a[d + j], CacheValue<C>::to_f32(b[d + j]), sums[j]);
  }
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  c.scores[i] = c.scale * sums[0];
}

template <CacheType C>
__global__ void __launch_bounds__(kTileThreads)
    qk_tile_kernel(Scores c, const typename CacheValue<C>::Stored* k_cache) {
  GRETA_SHARED(float, queries, kTileRows* kTileStride);
  GRETA_SHARED(float, keys, kTileColumns* kTileStride);
  const int64_t tiles_t = ceil_div(c.T, kTileColumns), tile = static_cast<int64_t>(blockIdx.x) / c.H;
  const int64_t h = static_cast<int64_t>(blockIdx.x) % c.H;
  const int64_t s0 = tile / tiles_t * kTileRows, t0 = tile % tiles_t * kTileColumns;
  const int row = static_cast<int>(threadIdx.x) / kTileLanes,
            column = static_cast<int>(threadIdx.x) % kTileLanes;

  float totals[kTileMicro][kTileMicro] = {};
  const int64_t last = c.start + (s0 + kTileRows < c.S ? s0 + kTileRows : c.S) - 1;  // key that a row may see
  for (int64_t d0 = 0; d0 < c.Dh && t0 <= last; d0 += kTileDepth) {
    fill_tile<float>(c.q + h * c.Dh, c.H * c.Dh, {s0, c.S}, {d0, c.Dh}, kTileRows, queries,
                     [](float v) { return v; });
    fill_tile<typename CacheValue<C>::Stored>(k_cache + h / (c.H / c.Hkv) * c.Dh, c.Hkv * c.Dh, {t0, c.T},
                                              {d0, c.Dh}, kTileColumns, keys, CacheValue<C>::to_f32);
    __syncthreads();
    float sums[kTileMicro][kTileMicro] = {};
    for (int d = 0; d < kTileDepth; ++d) {
      float a[kTileMicro], b[kTileMicro];
      GRETA_UNROLL
      for (int i = 0; i < kTileMicro; ++i)
        a[i] = queries[(row + i * kTileRows / kTileMicro) * kTileStride + d];
      GRETA_UNROLL
      for (int j = 0; j < kTileMicro; ++j) b[j] = keys[(column + j * kTileLanes) * kTileStride + d];
      add_products(a, b, sums);
    }
    add_sums(sums, totals);
    __syncthreads();
  }
  for (int i = 0; i < kTileMicro; ++i) {
    const int64_t s = s0 + row + i * kTileRows / kTileMicro;
    for (int j = 0; j < kTileMicro; ++j) {
      const int64_t t = t0 + column + j * kTileLanes;
      if (s < c.S && t < c.T) {
        c.scores[(s * c.H + h) * c.T + t] = t > c.start + s ? -INFINITY : c.scale * totals[i][j];
      }
    }
  }
}

}  // namespace

Attested qk(hipStream_t stream, const float* q, const void* k_cache, CacheType type, int64_t S, int64_t start,
            int64_t H, int64_t Hkv, int64_t Dh, float* scores, Tuning tuning) {
  require(q != nullptr && k_cache != nullptr && scores != nullptr, "qk", "q, k_cache or scores is null");
  require(S > 0 && start >= 0 && Dh > 0, "qk", "S and Dh are at least 1, start at least 0");
  require_groups(H, Hkv, "qk", "key");
  const int64_t T = start + S;
  const Scores c{q,     S, start, T, H, Hkv, Dh, static_cast<float>(1.0 / std::sqrt(static_cast<double>(Dh))),
                 scores};
  const bool wide = tuning == Tuning::wide;
  with_cache_type(type, [&]<CacheType C>() {
    const auto* cache = static_cast<const typename CacheValue<C>::Stored*>(k_cache);
    if (wide) {
      const unsigned grid = grid_for(ceil_div(S, kTileRows) * ceil_div(T, kTileColumns) * H, 1, "qk");
      hipLaunchKernelGGL(qk_tile_kernel<C>, dim3(grid), dim3(kTileThreads), 0, stream, c, cache);
    } else {
      hipLaunchKernelGGL(qk_kernel<C>, dim3(grid_for(S * H * T, kBlock, "qk")), dim3(kBlock), 0, stream, c,
                         cache);
    }
  });
  check_launched("qk");
  const std::string name = std::string("qk<cache=") + cache_name(type) + ",";
  if (wide) return {name + tile_name(), sum_contract("qk", "f32", tile_chain(Dh))};
  return {name + "sums=" + std::to_string(kSums) + ",block=" + std::to_string(kBlock) + ">",
          sum_contract("qk", "f32", ceil_div(Dh, kSums) + tree_depth(kSums))};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
