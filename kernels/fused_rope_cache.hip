// RoPE of q and of k, and the rows of k and v into their caches, in one launch. The arithmetic is rope.hip's
// and kv_write.hip's, so each output keeps their contract.
//
// A thread a pair of neighbouring values: first those of q, then of k, then of v. Blocks of 64, no shared
// memory, no collectives; one sincosf a pair of q or k, ahead of the wait for the kernel that makes q, k and
// v.
#include "kernels/cache_value.hpp"
#include "kernels/hip/dependent_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct RopeCache {
  const float *q, *k, *v, *frequency;
  const int32_t* positions;
  uint32_t q_pairs, k_pairs;  // of all S rows
  uint32_t H, Hkv, half_dim, half_rope;
  float *q_out, *k_out;  // k_out may be null
};

struct Turn {
  float sine, cosine;
  bool turned;
};
// That of a pair of x [S, heads, head_dim].
__device__ __forceinline__ Turn turn_of(const RopeCache& c, uint32_t pair, uint32_t heads) {
  Turn t{0, 1, false};
  const uint32_t i = pair % c.half_dim, s = pair / c.half_dim / heads;
  t.turned = i < c.half_rope;
  if (t.turned) sincosf(static_cast<float>(c.positions[s]) * c.frequency[i], &t.sine, &t.cosine);
  return t;
}
__device__ __forceinline__ float2 turned(const float2& x, const Turn& t) {
  if (!t.turned) return x;
  return make_float2(fmaf(x.x, t.cosine, -(x.y * t.sine)), fmaf(x.x, t.sine, x.y * t.cosine));
}
__device__ __forceinline__ float2 pair_of(const float* x, uint32_t pair) {
  return make_float2(x[int64_t{2} * pair], x[int64_t{2} * pair + 1]);
}
__device__ __forceinline__ void store_pair(float* x, uint32_t pair, const float2& value) {
  x[int64_t{2} * pair] = value.x;
  x[int64_t{2} * pair + 1] = value.y;
}

// The first value in a cache of a pair of [S, width], at its position's row.
__device__ __forceinline__ int64_t place_in_cache(const RopeCache& c, uint32_t pair) {
  const uint32_t half_width = c.Hkv * c.half_dim, s = pair / half_width;
  return 2 * (static_cast<int64_t>(c.positions[s]) * half_width + pair % half_width);
}

template <CacheType C>
__global__ void rope_cache_kernel(RopeCache c, typename CacheValue<C>::Stored* k_cache,
                                  typename CacheValue<C>::Stored* v_cache) {
  release_successor();
  const auto write = [](typename CacheValue<C>::Stored* to, const float2& value) {
    to[0] = CacheValue<C>::from_f32(value.x);
    to[1] = CacheValue<C>::from_f32(value.y);
  };
  uint32_t pair = blockIdx.x * blockDim.x + threadIdx.x;
  if (pair < c.q_pairs) {
    const Turn turn = turn_of(c, pair, c.H);
    wait_for_predecessor();
    store_pair(c.q_out, pair, turned(pair_of(c.q, pair), turn));
    return;
  }
  pair -= c.q_pairs;
  const bool of_k = pair < c.k_pairs;
  if (!of_k) pair -= c.k_pairs;
  if (pair >= c.k_pairs) return;
  const Turn turn = of_k ? turn_of(c, pair, c.Hkv) : Turn{0, 1, false};
  const int64_t place = place_in_cache(c, pair);
  wait_for_predecessor();
  const float2 value = turned(pair_of(of_k ? c.k : c.v, pair), turn);
  if (of_k && c.k_out != nullptr) store_pair(c.k_out, pair, value);
  write((of_k ? k_cache : v_cache) + place, value);
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
  const int64_t pairs = S * (H + 2 * Hkv) * head_dim / 2;
  require(pairs <= INT32_MAX, "rope_cache", std::to_string(pairs) + " pairs are more than 2^31 - 1");
  const auto u32 = [](int64_t n) { return static_cast<uint32_t>(n); };
  const RopeCache c{q,
                    k,
                    v,
                    frequency,
                    positions,
                    u32(S * H * head_dim / 2),
                    u32(S * Hkv * head_dim / 2),
                    u32(H),
                    u32(Hkv),
                    u32(head_dim / 2),
                    u32(rope_dims / 2),
                    q_out,
                    k_out};
  with_cache_type(type, [&]<CacheType C>() {
    using Stored = typename CacheValue<C>::Stored;
    launch_dependent("rope_cache", rope_cache_kernel<C>, dim3(grid_for(pairs, kBlock, "rope_cache")),
                     dim3(kBlock), 0, stream, c, static_cast<Stored*>(k_cache),
                     static_cast<Stored*>(v_cache));
  });
  check_launched("rope_cache");
  const std::string name =
      std::string("rope_cache<cache=") + cache_name(type) + ",block=" + std::to_string(kBlock) + ">";
  const Attested turned_as{name, "op=rope freq=f64 trig=2"}, written_as{name, copy_contract(type)};
  return {turned_as, turned_as, written_as, written_as};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
