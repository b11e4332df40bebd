// Attention of one row, cut along the cache (split-K): a block a part of the keys and the heads that share a
// key head, then a block a head and 32 or 64 dims, which joins the parts.
//
// 8, 16 or 32 lanes hold a key's dims, 8 each, so a wave reads whole rows. A wave goes over its keys of the
// part in runs with a running maximum of its own; a lane copies what it will read itself to a ring in shared
// memory, so that several runs are under way without a register. The heads of a group share each load; their
// scores are summed over the lanes by exchanging halves (4 heads: 5 shuffles a key instead of 16). Parts are
// as long whatever the capacity, so the capacity changes no bit; blocks of parts beyond the position return
// at once. Costs T · Dh · 2 values read once for all heads of a group, 4 · Dh FLOP a key and head, heads · Dh
// floats a part written and read again.
//
// chain: 8 fused multiply-adds a lane and the tree. sum: a lane's runs, the lanes and waves of a block, the
// parts. rescales: a wave's runs, its block's join, the parts' join.
#include <algorithm>

#include "kernels/attention.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kPart = 256;     // keys of a part
constexpr int kThreads = 128;  // of a block of the first kernel
// What the registers have to suffice for: blocks a multiprocessor on NVIDIA, waves a SIMD on AMD.
#if defined(GRETA_HIP_AMD)
constexpr int kPartBlocks = 2;
#else
constexpr int kPartBlocks = 4;
#endif
// Keys of a lane in one run, and runs in the ring, of which AMD and the host have room for two.
template <CacheType C>
constexpr int kAhead = C == CacheType::f32 ? 2 : 4;
#if defined(GRETA_HIP_NVIDIA)
constexpr int kRing = 3;
#else
constexpr int kRing = 2;
#endif
constexpr int kRun = 8;        // dims of a lane
constexpr int kJoinWaves = 8;  // of a block of the second kernel
constexpr int kMinWave = 32;

struct Decode {
  const float* q;
  const int32_t* positions;
  int Hkv, group, Dh;  // group: heads that share a key head
  float scale;
  float2* stats;  // [parts, H]: maximum (of the scores times log2 e), sum
  float* outs;    // [parts, H, Dh], before the division
};

// Exchanges a and b where `swap` is all ones (0: leaves them). Written in bits: a choice between two elements
// of an array becomes a choice of addresses, and the array lands in memory.
__device__ __forceinline__ void exchange_if(uint32_t swap, float& a, float& b) {
  const uint32_t x = __builtin_bit_cast(uint32_t, a), y = __builtin_bit_cast(uint32_t, b), d = (x ^ y) & swap;
  a = __builtin_bit_cast(float, x ^ d);
  b = __builtin_bit_cast(float, y ^ d);
}

// The sum over the LANES lanes of a key of one head's value: lanes h · LANES/HEADS … of the key have head
// h's.
template <int LANES, int HEADS>
__device__ __forceinline__ float sum_heads(float (&sums)[HEADS]) {
  int mask = LANES / 2;
  GRETA_UNROLL
  for (int count = HEADS / 2; count > 0; count /= 2, mask /= 2) {
    const uint32_t upper = (lane_id() & mask) != 0 ? 0xffffffffu : 0u;
    GRETA_UNROLL
    for (int h = 0; h < count; ++h) {
      exchange_if(upper, sums[h], sums[count + h]);
      sums[h] += wave_shuffle_xor(sums[count + h], mask);
    }
  }
  float sum = sums[0];
  GRETA_UNROLL
  for (; mask > 0; mask /= 2) sum += wave_shuffle_xor(sum, mask);
  return sum;
}

// One value a head, read as one.
template <int HEADS>
struct alignas(HEADS * sizeof(float)) HeadValues {
  float x[HEADS];
};

// A lane's running softmax of its head; alike in all lanes of that head.
struct Running {
  float maximum = -INFINITY, sum = 0;
};

// This run's scores of a head (those of all lanes) become their exponentials; what sums so far must be
// multiplied by is returned. A run wholly beyond the position has −∞ only: zeros.
template <int LANES, int AHEAD>
__device__ __forceinline__ float exponentials(float (&scores)[AHEAD], Running& running) {
  float largest = running.maximum;
  GRETA_UNROLL
  for (int i = 0; i < AHEAD; ++i) largest = fmaxf(largest, scores[i]);
  for (int mask = LANES; mask < wave_size(); mask *= 2)
    largest = fmaxf(largest, wave_shuffle_xor(largest, mask));
  const float shift = largest == -INFINITY ? 0.0f : largest;
  float sum = 0;
  GRETA_UNROLL
  for (int i = 0; i < AHEAD; ++i) {
    scores[i] = power_of_two(scores[i] - shift);
    sum += scores[i];
  }
  for (int mask = LANES; mask < wave_size(); mask *= 2) sum += wave_shuffle_xor(sum, mask);
  const float factor = power_of_two(running.maximum - shift);
  running.sum = fmaf(running.sum, factor, sum);
  running.maximum = largest;
  return factor;
}

// Of a block: the ring of runs, or, when it has been read, the waves' sums.
template <CacheType C, int LANES, int HEADS>
constexpr size_t kPartShared = std::max(kRing * 2 * kAhead<C> * kThreads * sizeof(CacheRun<C>),
                                        kThreads / kMinWave * HEADS * LANES * kRun * sizeof(float));

template <CacheType C, int LANES, int HEADS>
__global__ void __launch_bounds__(kThreads, kPartBlocks)
    attention_part_kernel(Decode d, const typename CacheValue<C>::Stored* k_cache,
                          const typename CacheValue<C>::Stored* v_cache) {
  using Stored = typename CacheValue<C>::Stored;
  constexpr int kDims = LANES * kRun, kMaxWaves = kThreads / kMinWave, kCount = kAhead<C>;
  constexpr int kPieces = sizeof(CacheRun<C>) / sizeof(uint4);
  constexpr int kShare = LANES / HEADS;                           // lanes of a key that have one head's score
  GRETA_DYNAMIC_SHARED(uint4, ring);                              // [slot][K, V][key][piece][thread]
  GRETA_SHARED(HeadValues<HEADS>, p, kCount * kThreads / LANES);  // [wave][key of the run]
  GRETA_SHARED(float, maxima, kMaxWaves* HEADS);
  GRETA_SHARED(float, denominators, kMaxWaves* HEADS);

  const int chunks = (d.group + HEADS - 1) / HEADS;  // of a group, where it has more than HEADS heads
  const int part = static_cast<int>(blockIdx.x) / (d.Hkv * chunks);
  const int work = static_cast<int>(blockIdx.x) % (d.Hkv * chunks), kv = work / chunks;
  const int h0 = kv * d.group + work % chunks * HEADS, left = d.group - work % chunks * HEADS;
  const int heads = left < HEADS ? left : HEADS;
  const int64_t T = static_cast<int64_t>(d.positions[0]) + 1, t0 = static_cast<int64_t>(part) * kPart;
  if (t0 >= T) return;
  const int keys = static_cast<int>(T - t0 < kPart ? T - t0 : kPart);

  const int waves = kThreads / wave_size(), groups = wave_size() / LANES, run_keys = kCount * groups;
  const int thread = static_cast<int>(threadIdx.x), lane = lane_id(), wave = wave_id();
  const int head = lane % LANES / kShare;
  // A lane's dims: one piece of 16 bytes from each of kPieces equal shares of the row, so that the lanes of a
  // key read neighbouring pieces.
  constexpr int kPieceDims = kRun / kPieces;
  const auto dim_of = [&](int j) {
    return (j / kPieceDims * LANES + lane % LANES) * kPieceDims + j % kPieceDims;
  };
  const int64_t stride = static_cast<int64_t>(d.Hkv) * d.Dh;
  const int64_t base = t0 * stride + static_cast<int64_t>(kv) * d.Dh;
  const auto place = [&](int slot, int of_v, int i, int piece) {
    return ring + (((slot * 2 + of_v) * kCount + i) * kPieces + piece) * kThreads + thread;
  };
  const auto fetch = [&](int run) {  // this lane's pieces of the wave's run
    const int first = (run * waves + wave) * run_keys + lane / LANES;
    GRETA_UNROLL
    for (int of_v = 0; of_v < 2; ++of_v) {
      GRETA_UNROLL
      for (int i = 0; i < kCount; ++i) {
        const int t = first + i * groups;
        const Stored* const from = (of_v ? v_cache : k_cache) + base + t * stride;
        GRETA_UNROLL
        for (int piece = 0; piece < kPieces; ++piece) {
          const int dim = dim_of(piece * kPieceDims);
          copy_piece(reinterpret_cast<half_bits*>(place(run % kRing, of_v, i, piece)), from + dim,
                     t < keys && dim < d.Dh);
        }
      }
    }
    copies_commit();
  };
  const auto read = [&](int run, int of_v, int i, float(&values)[kRun]) {
    CacheRun<C> bits;
    GRETA_UNROLL
    for (int piece = 0; piece < kPieces; ++piece) bits.bits[piece] = *place(run % kRing, of_v, i, piece);
    bits.to_f32(values);
  };

  for (int run = 0; run < kRing - 1; ++run) fetch(run);
  float q[HEADS][kRun], sums[HEADS][kRun] = {};
  GRETA_UNROLL
  for (int h = 0; h < HEADS; ++h) {
    GRETA_UNROLL
    for (int i = 0; i < kRun; ++i) {
      const int dim = dim_of(i);
      q[h][i] = h < heads && dim < d.Dh ? d.q[static_cast<int64_t>(h0 + h) * d.Dh + dim] : 0.0f;
    }
  }
  Running running;
  HeadValues<HEADS>* const run_p = p + wave * run_keys;
  for (int run = 0; (run * waves + wave) * run_keys < keys; ++run) {
    fetch(run + kRing - 1);
    copies_wait<kRing - 1>();  // this run's; no other lane's pieces are read, so no barrier
    float scores[kCount];
    GRETA_UNROLL
    for (int i = 0; i < kCount; ++i) {
      float key[kRun], dots[HEADS] = {};
      read(run, 0, i, key);
      GRETA_UNROLL
      for (int h = 0; h < HEADS; ++h) {
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) dots[h] = fmaf(q[h][j], key[j], dots[h]);
      }
      const float dot = sum_heads<LANES, HEADS>(dots);
      scores[i] =
          (run * waves + wave) * run_keys + i * groups + lane / LANES < keys ? d.scale * dot : -INFINITY;
    }
    const float factor = exponentials<LANES>(scores, running);
    if (lane % kShare == 0) {
      GRETA_UNROLL
      for (int i = 0; i < kCount; ++i) run_p[i * groups + lane / LANES].x[head] = scores[i];
    }
    wave_sync();
    if (wave_ballot(factor != 1.0f) != 0) {  // a factor of 1 would change no bit
      GRETA_UNROLL
      for (int h = 0; h < HEADS; ++h) {
        const float of_head = wave_shuffle(factor, h * kShare);
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) sums[h][j] *= of_head;
      }
    }
    GRETA_UNROLL
    for (int i = 0; i < kCount; ++i) {
      float value[kRun];
      read(run, 1, i, value);
      const HeadValues<HEADS> of_key = run_p[i * groups + lane / LANES];
      GRETA_UNROLL
      for (int h = 0; h < HEADS; ++h) {
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) sums[h][j] = fmaf(of_key.x[h], value[j], sums[h][j]);
      }
    }
    wave_sync();
  }

  copies_wait<0>();
  __syncthreads();                                     // the ring has been read: it becomes the waves' sums
  float* const outs = reinterpret_cast<float*>(ring);  // [wave][head][dim]
  GRETA_UNROLL
  for (int h = 0; h < HEADS; ++h) {
    GRETA_UNROLL
    for (int j = 0; j < kRun; ++j) {
      for (int mask = LANES; mask < wave_size(); mask *= 2) sums[h][j] += wave_shuffle_xor(sums[h][j], mask);
      if (lane < LANES) outs[(wave * HEADS + h) * kDims + dim_of(j)] = sums[h][j];
    }
  }
  if (lane < LANES && lane % kShare == 0) {
    maxima[wave * HEADS + head] = running.maximum;
    denominators[wave * HEADS + head] = running.sum;
  }
  __syncthreads();
  const int64_t at = static_cast<int64_t>(part) * d.Hkv * d.group + h0;
  for (int i = thread; i < heads * d.Dh; i += kThreads) {
    const int h = i / d.Dh, column = i % d.Dh;
    float largest = -INFINITY, sum = 0, denominator = 0;
    for (int w = 0; w < waves; ++w) largest = fmaxf(largest, maxima[w * HEADS + h]);
    for (int w = 0; w < waves; ++w) {
      const float weight = power_of_two(maxima[w * HEADS + h] - largest);
      sum = fmaf(weight, outs[(w * HEADS + h) * kDims + column], sum);
      denominator = fmaf(weight, denominators[w * HEADS + h], denominator);
    }
    d.outs[at * d.Dh + i] = sum;
    if (column == 0) d.stats[at + h] = make_float2(largest, denominator);
  }
}

// out[h, :] = Σ_parts e^(max_part − max) out_part / Σ_parts e^(max_part − max) sum_part. A lane a dim; a wave
// takes 32 parts at a time, whose statistics its lanes fetch and hand round, every kJoinWaves-th such batch;
// the waves' sums are added up in ascending order.
__global__ void __launch_bounds__(kJoinWaves* kMaxWave) attention_join_kernel(Decode d, float* out) {
  constexpr int kBatch = 32;
  GRETA_SHARED(float, shared_sums, kJoinWaves* kMaxWave);
  GRETA_SHARED(float, shared_denominators, kJoinWaves);
  const int wave = wave_size(), H = d.Hkv * d.group, slices = (d.Dh + wave - 1) / wave;
  const int h = static_cast<int>(blockIdx.x) / slices;
  const int dim = static_cast<int>(blockIdx.x) % slices * wave + lane_id();
  const int parts = d.positions[0] / kPart + 1;
  const bool has_dim = dim < d.Dh;
  float values[kBatch];
  const auto load = [&](int part0) {
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int64_t at = static_cast<int64_t>(part0 + i) * H + h;
      values[i] = has_dim && part0 + i < parts ? d.outs[at * d.Dh + dim] : 0.0f;
    }
  };

  load(wave_id() * kBatch);
  float largest = -INFINITY;
  for (int part = lane_id(); part < parts; part += wave) {
    largest = fmaxf(largest, d.stats[static_cast<int64_t>(part) * H + h].x);
  }
  for (int mask = 1; mask < wave; mask *= 2) largest = fmaxf(largest, wave_shuffle_xor(largest, mask));

  float sum = 0, denominator = 0;
  for (int part0 = wave_id() * kBatch; part0 < parts; part0 += kJoinWaves * kBatch) {
    const int mine = part0 + lane_id();
    float weight = 0, part_sum = 0;
    if (lane_id() < kBatch && mine < parts) {
      const float2 stats = d.stats[static_cast<int64_t>(mine) * H + h];
      weight = power_of_two(stats.x - largest);
      part_sum = stats.y;
    }
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const float w = wave_shuffle(weight, i);
      sum = fmaf(w, values[i], sum);
      denominator = fmaf(w, wave_shuffle(part_sum, i), denominator);
    }
    load(part0 + kJoinWaves * kBatch);
  }
  shared_sums[wave_id() * kMaxWave + lane_id()] = sum;
  if (lane_id() == 0) shared_denominators[wave_id()] = denominator;
  __syncthreads();
  if (wave_id() != 0 || !has_dim) return;
  for (int w = 1; w < kJoinWaves; ++w) {
    sum += shared_sums[w * kMaxWave + lane_id()];
    denominator += shared_denominators[w];
  }
  out[static_cast<int64_t>(h) * d.Dh + dim] = sum / denominator;
}

template <CacheType C, int LANES, int HEADS>
void launch_parts(hipStream_t stream, const Decode& d, const void* k_cache, const void* v_cache,
                  int64_t parts) {
  using Stored = typename CacheValue<C>::Stored;
  const unsigned grid = grid_for(parts * d.Hkv * ceil_div(d.group, HEADS), 1, "attention_decode");
  allow_shared(attention_part_kernel<C, LANES, HEADS>, kPartShared<C, LANES, HEADS>);
  hipLaunchKernelGGL(HIP_KERNEL_NAME(attention_part_kernel<C, LANES, HEADS>), dim3(grid), dim3(kThreads),
                     (kPartShared<C, LANES, HEADS>), stream, d, static_cast<const Stored*>(k_cache),
                     static_cast<const Stored*>(v_cache));
}

int lanes_for(int64_t Dh) { return Dh <= 64 ? 8 : Dh <= 128 ? 16 : 32; }

// Statistics first, padded to 16 bytes.
int64_t stats_floats(int64_t parts, int64_t H) { return ceil_div(2 * parts * H, 4) * 4; }

}  // namespace

int64_t attention_decode_workspace(int64_t capacity, int64_t H, int64_t, int64_t Dh) {
  const int64_t parts = ceil_div(capacity, kPart);
  return stats_floats(parts, H) + parts * H * Dh;
}

Attested attention_decode(hipStream_t stream, const float* q, const void* k_cache, const void* v_cache,
                          CacheType type, const int32_t* positions, int64_t capacity, int64_t H, int64_t Hkv,
                          int64_t Dh, float* workspace, float* out) {
  require(q != nullptr && k_cache != nullptr && v_cache != nullptr && positions != nullptr &&
              workspace != nullptr && out != nullptr,
          "attention_decode", "a pointer is null");
  require(capacity > 0, "attention_decode", "capacity is at least 1");
  require_fused(H, Hkv, Dh, "attention_decode");
  const int64_t parts = ceil_div(capacity, kPart);
  const Decode d{q,
                 positions,
                 static_cast<int>(Hkv),
                 static_cast<int>(H / Hkv),
                 static_cast<int>(Dh),
                 log2_scale(Dh),
                 reinterpret_cast<float2*>(workspace),
                 workspace + stats_floats(parts, H)};
  const int lanes = lanes_for(Dh), heads = H == Hkv ? 1 : 4, wave = wave_size();
  with_cache_type(type, [&]<CacheType C>() {
    const auto with_heads = [&]<int LANES>() {
      heads == 1 ? launch_parts<C, LANES, 1>(stream, d, k_cache, v_cache, parts)
                 : launch_parts<C, LANES, 4>(stream, d, k_cache, v_cache, parts);
    };
    lanes == 8    ? with_heads.template operator()<8>()
    : lanes == 16 ? with_heads.template operator()<16>()
                  : with_heads.template operator()<32>();
  });
  const std::string name = std::string("attention_decode<cache=") + cache_name(type) +
                           ",part=" + std::to_string(kPart) + ",lanes=" + std::to_string(lanes) +
                           ",heads=" + std::to_string(heads) + ",threads=" + std::to_string(kThreads) +
                           ",wave=" + std::to_string(wave) + ">";
  check_launched(name);
  hipLaunchKernelGGL(attention_join_kernel, dim3(grid_for(H * ceil_div(Dh, wave), 1, "attention_decode")),
                     dim3(kJoinWaves * wave), 0, stream, d, out);
  check_launched(name);

  const int64_t ahead = type == CacheType::f32 ? kAhead<CacheType::f32> : kAhead<CacheType::f16>;
  const int64_t waves = kThreads / wave, run_keys = ahead * (wave / lanes);
  const int64_t runs = ceil_div(kPart, waves * run_keys);
  const int64_t in_part = runs * ahead + tree_depth(wave / lanes) + waves;
  const int64_t join = std::min<int64_t>(parts, 32) * ceil_div(parts, 32 * kJoinWaves) + kJoinWaves;
  return {name,
          attention_contract("f32", "f32", {kRun + tree_depth(lanes), in_part + join, runs + 2}, "ieee")};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
