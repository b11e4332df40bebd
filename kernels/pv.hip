// out[s, h, d] = Σ_t p[s, h, t] · v_cache[t, h / (H/Hkv), d], t < T.
//
// plain: a thread 8 neighbouring d, blocks of 64; one sum along t each. No shared memory, no collectives.
// wide: a block 32 rows of a head by 64 d, both through shared memory in slices of 32 along t, a thread 4 by
// 4; the sums of the slices are added up, so no chain is longer than 32 + T/32.
#include "kernels/attention_tile.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kWidth = 8;

struct Values {
  const float* p;
  int64_t S, T, H, Hkv, Dh;
  float* out;
};

template <CacheType C>
__global__ void pv_kernel(Values c, const typename CacheValue<C>::Stored* v_cache) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t parts = ceil_div(c.Dh, kWidth);
  if (i >= c.S * c.H * parts) return;
  const int64_t row = i / parts, d = i % parts * kWidth, h = row % c.H;  // row = s · H + h
  const float* weights = c.p + row * c.T;
  const typename CacheValue<C>::Stored* values = v_cache + h / (c.H / c.Hkv) * c.Dh + d;
  const int64_t stride = c.Hkv * c.Dh;
  float sums[kWidth] = {};
  if (d + kWidth <= c.Dh) {
    for (int64_t t = 0; t < c.T; ++t) {
      for (int j = 0; j < kWidth; ++j) {
        sums[j] = fmaf(weights[t], CacheValue<C>::to_f32(values[t * stride + j]), sums[j]);
      }
    }
    for (int j = 0; j < kWidth; ++j) c.out[row * c.Dh + d + j] = sums[j];
    return;
  }
  for (int64_t j = 0; d + j < c.Dh; ++j) {  // the last few of a head
    float sum = 0;
    for (int64_t t = 0; t < c.T; ++t) {
      sum = fmaf(weights[t], CacheValue<C>::to_f32(values[t * stride + j]), sum);
    }
    c.out[row * c.Dh + d + j] = sum;
  }
}

template <CacheType C>
__global__ void __launch_bounds__(kTileThreads)
    pv_tile_kernel(Values c, const typename CacheValue<C>::Stored* v_cache) {
  GRETA_SHARED(float, weights, kTileRows* kTileStride);
  GRETA_SHARED(float, values, kTileDepth* kTileColumns);
  const int64_t tiles_d = ceil_div(c.Dh, kTileColumns), tile = static_cast<int64_t>(blockIdx.x) / c.H;
  const int64_t h = static_cast<int64_t>(blockIdx.x) % c.H;
  const int64_t s0 = tile / tiles_d * kTileRows, d0 = tile % tiles_d * kTileColumns;
  const int row = static_cast<int>(threadIdx.x) / kTileLanes,
            column = static_cast<int>(threadIdx.x) % kTileLanes;
  const typename CacheValue<C>::Stored* const from = v_cache + h / (c.H / c.Hkv) * c.Dh;

  float totals[kTileMicro][kTileMicro] = {};
  for (int64_t t0 = 0; t0 < c.T; t0 += kTileDepth) {
    fill_tile<float>(c.p + h * c.T, c.H * c.T, {s0, c.S}, {t0, c.T}, kTileRows, weights,
                     [](float v) { return v; });
    for (int i = static_cast<int>(threadIdx.x); i < kTileDepth * kTileColumns; i += kTileThreads) {
      const int64_t t = t0 + i / kTileColumns, d = d0 + i % kTileColumns;
      values[i] = t < c.T && d < c.Dh ? CacheValue<C>::to_f32(from[t * c.Hkv * c.Dh + d]) : 0.0f;
    }
    __syncthreads();
    float sums[kTileMicro][kTileMicro] = {};
    for (int t = 0; t < kTileDepth; ++t) {
      float a[kTileMicro], b[kTileMicro];
      GRETA_UNROLL
      for (int i = 0; i < kTileMicro; ++i)
        a[i] = weights[(row + i * kTileRows / kTileMicro) * kTileStride + t];
      GRETA_UNROLL
      for (int j = 0; j < kTileMicro; ++j) b[j] = values[t * kTileColumns + column + j * kTileLanes];
      add_products(a, b, sums);
    }
    add_sums(sums, totals);
    __syncthreads();
  }
  for (int i = 0; i < kTileMicro; ++i) {
    const int64_t s = s0 + row + i * kTileRows / kTileMicro;
    for (int j = 0; j < kTileMicro; ++j) {
      const int64_t d = d0 + column + j * kTileLanes;
      if (s < c.S && d < c.Dh) c.out[(s * c.H + h) * c.Dh + d] = totals[i][j];
    }
  }
}

}  // namespace

Attested pv(hipStream_t stream, const float* p, const void* v_cache, CacheType type, int64_t S, int64_t T,
            int64_t H, int64_t Hkv, int64_t Dh, float* out, Tuning tuning) {
  require(p != nullptr && v_cache != nullptr && out != nullptr, "pv", "p, v_cache or out is null");
  require(S > 0 && T > 0 && Dh > 0, "pv", "S, T and Dh are at least 1");
  require_groups(H, Hkv, "pv", "value");
  const Values c{p, S, T, H, Hkv, Dh, out};
  const bool wide = tuning == Tuning::wide;
  with_cache_type(type, [&]<CacheType C>() {
    const auto* cache = static_cast<const typename CacheValue<C>::Stored*>(v_cache);
    if (wide) {
      const unsigned grid = grid_for(ceil_div(S, kTileRows) * ceil_div(Dh, kTileColumns) * H, 1, "pv");
      hipLaunchKernelGGL(pv_tile_kernel<C>, dim3(grid), dim3(kTileThreads), 0, stream, c, cache);
    } else {
      const unsigned grid = grid_for(S * H * ceil_div(Dh, kWidth), kBlock, "pv");
      hipLaunchKernelGGL(pv_kernel<C>, dim3(grid), dim3(kBlock), 0, stream, c, cache);
    }
  });
  check_launched("pv");
  const std::string name = std::string("pv<cache=") + cache_name(type) + ",";
  if (wide) return {name + tile_name(), sum_contract("pv", "f32", tile_chain(T))};
  return {name + "width=" + std::to_string(kWidth) + ",block=" + std::to_string(kBlock) + ">",
          sum_contract("pv", "f32", T)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
