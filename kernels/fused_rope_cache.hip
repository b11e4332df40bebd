// RoPE of q and of k, and the rows of k and v into their caches, in one launch. The arithmetic is rope.hip's
// and kv_write.hip's, so each output keeps their contract.
//
// A thread a pair of neighbouring values: first those of q, then of k, then of v. Blocks of 64, no shared
// memory, no collectives; one sincosf a pair of q or k.
#include "kernels/cache_value.hpp"
#include "kernels/hip/dependent_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct RopeCache {
  const float *q, *k, *v, *frequency;
  const int32_t* positions;
  int64_t q_pairs, k_pairs;  // of all S rows
  int64_t H, Hkv, half_dim, half_rope;
  float *q_out, *k_out;  // k_out may be null
};

// Values 2·pair and 2·pair + 1 of x [S, heads, head_dim], turned.
__device__ __forceinline__ float2 turned(const RopeCache& c, const float* x, int64_t pair, int64_t heads) {
  const int64_t i = pair % c.half_dim, s = pair / c.half_dim / heads;
  const float a = x[2 * pair], b = x[2 * pair + 1];
  if (i >= c.half_rope) return make_float2(a, b);
  float sine, cosine;
  sincosf(static_cast<float>(c.positions[s]) * c.frequency[i], &sine, &cosine);
  return make_float2(fmaf(a, cosine, -(b * sine)), fmaf(a, sine, b * cosine));
}

// A pair of [S, width] at its position's row of the cache.
template <CacheType C>
__device__ __forceinline__ void write_pair(const RopeCache& c, int64_t pair, float2 value,
                                           typename CacheValue<C>::Stored* cache) {
  const int64_t half_width = c.Hkv * c.half_dim, s = pair / half_width;
  const int64_t to = 2 * (c.positions[s] * half_width + pair % half_width);
  cache[to] = CacheValue<C>::from_f32(value.x);
  cache[to + 1] = CacheValue<C>::from_f32(value.y);
}

template <CacheType C>
__global__ void rope_cache_kernel(RopeCache c, typename CacheValue<C>::Stored* k_cache,
                                  typename CacheValue<C>::Stored* v_cache) {
  release_successor();
  wait_for_predecessor();
  int64_t pair = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pair < c.q_pairs) {
    const float2 value = turned(c, c.q, pair, c.H);
    c.q_out[2 * pair] = value.x;
    c.q_out[2 * pair + 1] = value.y;
    return;
  }
  pair -= c.q_pairs;
  if (pair < c.k_pairs) {
    const float2 value = turned(c, c.k, pair, c.Hkv);
    if (c.k_out != nullptr) {
      c.k_out[2 * pair] = value.x;
      c.k_out[2 * pair + 1] = value.y;
    }
    write_pair<C>(c, pair, value, k_cache);
    return;
  }
  pair -= c.k_pairs;
  if (pair < c.k_pairs) write_pair<C>(c, pair, make_float2(c.v[2 * pair], c.v[2 * pair + 1]), v_cache);
}

}  // namespace

RopeCacheRan rope_cache(hipStream_t stream, const float* q, const float* k, const float* v,
                        const float* frequency, const int32_t* positions, int64_t S, int64_t H, int64_t Hkv,
                        int64_t head_dim, int64_t rope_dims, float* q_out, float* k_out, void* k_cache,
                        void* v_cache, CacheType type) {
  require(q != nullptr && k != nullptr && v != nullptr && frequency != nullptr && positions != nullptr &&
              q_out != nullptr && k_cache != nullptr && v_cache != nullptr,
          "rope_cache", "a pointer is null");
  require(S > 0 && H > 0 && Hkv > 0 && head_dim > 0, "rope_cache", "S, heads and head_dim are at least 1");
  require(head_dim % 2 == 0 && rope_dims % 2 == 0 && rope_dims >= 0 && rope_dims <= head_dim, "rope_cache",
          "head_dim " + std::to_string(head_dim) + " and rope_dims " + std::to_string(rope_dims) +
              " must be even, rope_dims at most head_dim");
  const RopeCache c{q,
                    k,
                    v,
                    frequency,
                    positions,
                    S * H * head_dim / 2,
                    S * Hkv * head_dim / 2,
                    H,
                    Hkv,
                    head_dim / 2,
                    rope_dims / 2,
                    q_out,
                    k_out};
  with_cache_type(type, [&]<CacheType C>() {
    using Stored = typename CacheValue<C>::Stored;
    launch_dependent("rope_cache", rope_cache_kernel<C>,
                     dim3(grid_for(c.q_pairs + 2 * c.k_pairs, kBlock, "rope_cache")), dim3(kBlock), 0, stream,
                     c, static_cast<Stored*>(k_cache), static_cast<Stored*>(v_cache));
  });
  check_launched("rope_cache");
  const std::string name =
      std::string("rope_cache<cache=") + cache_name(type) + ",block=" + std::to_string(kBlock) + ">";
  const Attested turned_as{name, "op=rope freq=f64 trig=2"}, written_as{name, copy_contract(type)};
  return {turned_as, turned_as, written_as, written_as};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
