// What the builds of decode attention have in common: how a cache is cut along its positions, what a block
// has of it, the newest row, and the joining of waves and of parts (attention_decode.hip says how it goes).
// Private to kernels/.
#pragma once

#include <algorithm>

#include "kernels/attention.hpp"
#include "kernels/hip/dependent_launch.hpp"
#include "kernels/hip/hand_over.hpp"
#include "kernels/rope_turn.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kLeast = 64;  // keys that are worth a part

// What the newest row is made of, and where else it goes; k is null where q is turned and the caches hold it.
struct Unturned {
  const float *k = nullptr, *v = nullptr, *frequency = nullptr;
  int half_rope = 0;
  float *q_out = nullptr, *k_out = nullptr;  // [H, Dh], [Hkv, Dh], or null
  void *k_cache = nullptr, *v_cache = nullptr;
};

struct Decode {
  const float* q;
  Unturned unturned;
  const int32_t* positions;
  int Hkv, group, Dh;  // group: heads that share a key head
  float scale;
  int capacity;
  int most;   // parts
  int alone;  // keys up to which there is one part: joining would take longer
  // All 0 between launches (hip/hand_over.hpp).
  uint32_t* come;  // [Hkv, chunks]: parts that have come
  float2* stats;   // [H, most]: maximum (of the scores times log2 e), sum
  float* outs;     // [most, H, Dh], before the division
  float* out;      // [H, Dh]
};

// How T keys are cut: all parts but the last are `keys` long.
struct Cut {
  int count, keys;
};
__device__ __forceinline__ Cut cut(int T, int most, int alone) {
  const int wanted = T <= alone ? 1 : (T - 1) / kLeast + 1, count = wanted < most ? wanted : most;
  const int keys = (T - 1) / count + 1;
  return {(T - 1) / keys + 1, keys};
}

// What a block has: `heads` heads from h0 on, of key head kv, and keys t0 … t0 + keys − 1.
struct Share {
  Cut parts;
  int part, kv, h0, heads, set;
  bool first_chunk;  // of the heads of kv
  int t0, keys;
  int newest, stored;  // the newest key, within `keys` in the last part alone, and those that the caches have
};
// The grid: chunks of HEADS heads (where a group has more), key heads, parts.
template <int HEADS>
__device__ __forceinline__ Share share_of(const Decode& d, int T) {
  const int chunk = static_cast<int>(blockIdx.x);
  Share s;
  s.parts = cut(T, d.most, d.alone);
  s.part = static_cast<int>(blockIdx.z), s.kv = static_cast<int>(blockIdx.y);
  s.h0 = s.kv * d.group + chunk * HEADS;
  s.heads = d.group - chunk * HEADS < HEADS ? d.group - chunk * HEADS : HEADS;
  s.set = s.kv * static_cast<int>(gridDim.x) + chunk;
  s.first_chunk = chunk == 0;
  s.t0 = s.part * s.parts.keys;
  s.keys = T - s.t0 < s.parts.keys ? T - s.t0 : s.parts.keys;
  s.newest = T - 1 - s.t0;
  s.stored = s.newest < s.keys ? s.newest : s.keys;
  return s;
}

// Turns of all pairs, by all threads, a pair each. The frequencies are asked for first of all: what is asked
// for behind the caches' rows comes behind them.
template <int THREADS>
struct FillTurns {
  static_assert(THREADS >= 128);  // heads have up to 256 dims
  const int pair = static_cast<int>(threadIdx.x), pairs;
  const float frequency;
  __device__ __forceinline__ explicit FillTurns(const Unturned& u)
      : pairs(u.half_rope), frequency(pair < u.half_rope ? u.frequency[pair] : 0.0f) {}
  // A barrier has to follow.
  __device__ __forceinline__ void run(int position, Turn* turns) const {
    if (pair < pairs) turns[pair] = turn_by(position, frequency);
  }
};

__device__ __forceinline__ float4 fma4(float w, float4 x, float4 sum) {
  return make_float4(fmaf(w, x.x, sum.x), fmaf(w, x.y, sum.y), fmaf(w, x.z, sum.z), fmaf(w, x.w, sum.w));
}

// A thread has four dims of a row. Rows are heads, as many as the next power of two of theirs, once for each
// slice of what is added up. DIMS: at least Dh, a power of two.
template <int THREADS, int DIMS>
struct Fours {
  static constexpr int kLanes = DIMS / 4, kRows = THREADS / kLanes;
  int dim, row;
  __device__ __forceinline__ Fours()
      : dim(static_cast<int>(threadIdx.x) % kLanes * 4), row(static_cast<int>(threadIdx.x) / kLanes) {}
};
__host__ __device__ __forceinline__ constexpr int log2_rows(int heads) {
  int log2 = 0;
  while (1 << log2 < heads) ++log2;
  return log2;
}

// A thread's four dims of a head: their sum before the division, and what it is to be divided by.
struct Joined {
  float4 sum;
  float denominator;
};

template <int THREADS, int DIMS>
size_t join_shared(int most) {
  return THREADS * sizeof(float4) + static_cast<size_t>(Fours<THREADS, DIMS>::kRows * most) * sizeof(float);
}

// Behind the wait for the kernel ahead; to thread 0: how many of its set's parts came before the block's.
__device__ __forceinline__ uint32_t come(const Decode& d, const Share& share) {
  return come(d.come + share.set, static_cast<uint32_t>(share.parts.count),
              threadIdx.x == 0 && share.parts.count > 1);
}

// sum = Σ_parts 2^(max_part − max) out_part, denominator = Σ_parts 2^(max_part − max) sum_part. A thread of
// row `own.row` has every `slices`-th part; the slices are added up in ascending order, by those of the
// heads' rows, to whom alone the result belongs. Each row's lanes in a wave make their head's weights
// themselves. Parts may still be on their way; where they were are zeros when all have been read.
template <int THREADS, int DIMS>
__device__ __forceinline__ Joined join(const Decode& d, const Fours<THREADS, DIMS>& own, int count, int h0,
                                       int heads, uint4* shared) {
  constexpr int kBatch = 2048 / THREADS;  // loads of a thread under way: 16 parts of four heads of 128 dims
  const int thread = static_cast<int>(threadIdx.x), shift = log2_rows(heads);
  const int all_slices = own.kRows >> shift, slices = all_slices < count ? all_slices : count;
  const int slice = own.row >> shift, h = own.row & ((1 << shift) - 1);
  const bool has_head = h < heads, works = slice < slices && has_head && own.dim < d.Dh;
  float4* const sums = reinterpret_cast<float4*>(shared);                                // [thread]
  float* const weights = reinterpret_cast<float*>(shared + THREADS) + own.row * d.most;  // [row][part]
  const int lanes = own.kLanes < wave_size() ? own.kLanes : wave_size(), lane = lane_id() % lanes;
  float2* const stats = d.stats + (h0 + h) * d.most;
  // Asked for ahead of all else, which it would wait behind.
  float2 first = has_head && lane < count ? look(stats + lane) : make_float2(-INFINITY, 0);
  const auto stats_of = [&](int part) {
    return !has_head || part >= count ? make_float2(-INFINITY, 0)
           : part == lane             ? first
                                      : awaited(stats + part, look(stats + part));
  };
  const int of_part = d.Hkv * d.group * d.Dh;
  float* outs = d.outs + slice * of_part + (h0 + h) * d.Dh + own.dim;
  float denominator = 0;
  float4 sum = make_float4(0, 0, 0, 0);
  GRETA_NO_UNROLL
  for (int part0 = 0; part0 < count; part0 += kBatch * slices) {
    float4 values[kBatch];
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      values[i] = make_float4(0, 0, 0, 0);
      if (works && part0 + slice + i * slices < count)
        values[i] = look(reinterpret_cast<const float4*>(outs + i * slices * of_part));
    }
    if (part0 == 0) {
      if (has_head && lane < count) first = awaited(stats + lane, first);
      float largest = first.x;
      GRETA_NO_UNROLL
      for (int part = lane + lanes; part < count; part += lanes) largest = fmaxf(largest, stats_of(part).x);
      for (int mask = 1; mask < lanes; mask *= 2) largest = fmaxf(largest, wave_shuffle_xor(largest, mask));
      GRETA_NO_UNROLL
      for (int part = lane; part < count; part += lanes) {
        const float2 of_one = stats_of(part);
        const float weight = has_head ? power_of_two(of_one.x - largest) : 0.0f;
        weights[part] = weight;
        denominator = fmaf(weight, of_one.y, denominator);
      }
      wave_sync();
    }
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int part = part0 + slice + i * slices;
      if (works && part < count) {
        auto* const from = reinterpret_cast<float4*>(outs + i * slices * of_part);
        values[i] = awaited(from, values[i]);
        *from = make_float4(0, 0, 0, 0);
      }
      sum = fma4(weights[part < count ? part : 0], values[i], sum);
    }
    outs += kBatch * slices * of_part;
  }
  sums[thread] = sum;
  for (int mask = 1; mask < lanes; mask *= 2) denominator += wave_shuffle_xor(denominator, mask);
  __syncthreads();
  for (int i = thread; i < heads * count; i += THREADS)
    d.stats[(h0 + i / count) * d.most + i % count] = make_float2(0, 0);
  if (own.row >= heads || !works) return {};
  GRETA_NO_UNROLL
  for (int other = 1; other < slices; ++other)
    sum = fma4(1, sums[thread + (other << shift) * own.kLanes], sum);
  return {sum, denominator};
}

// Of each wave and head: sums [wave][HEADS], `pitch` floats from one to the next, before the division, the
// maximum that they are relative to (of the scores times log2 e), and the exponentials' sum; in shared
// memory.
struct WaveSums {
  const float* outs;
  int pitch;
  const float *maxima, *denominators;
  int waves;
};
// The waves' sums become the part's; the last block of the set to come joins the parts. By all threads, after
// a barrier; before: what thread 0 had of come(), in shared memory.
template <int HEADS, int THREADS, int DIMS>
__device__ __forceinline__ void finish_part(const Decode& d, const Share& share, const WaveSums& of_waves,
                                            uint4* shared, uint32_t before) {
  const Fours<THREADS, DIMS> own;
  static_assert(HEADS <= own.kRows);
  const int head = share.h0 + own.row;
  const bool has_head = own.row < share.heads && own.dim < d.Dh;
  Joined joined{make_float4(0, 0, 0, 0), 0};
  if (has_head) {
    float largest = -INFINITY;
    GRETA_UNROLL
    for (int w = 0; w < of_waves.waves; ++w) largest = fmaxf(largest, of_waves.maxima[w * HEADS + own.row]);
    GRETA_UNROLL
    for (int w = 0; w < of_waves.waves; ++w) {
      const int i = w * HEADS + own.row;
      const float weight = power_of_two(of_waves.maxima[i] - largest);
      joined.sum = fma4(
          weight, *reinterpret_cast<const float4*>(of_waves.outs + i * of_waves.pitch + own.dim), joined.sum);
      joined.denominator = fmaf(weight, of_waves.denominators[i], joined.denominator);
    }
    if (share.parts.count > 1) {
      float* const out = d.outs + (share.part * d.Hkv * d.group + head) * d.Dh + own.dim;
      hand_over(reinterpret_cast<float4*>(out), joined.sum);
      if (own.dim == 0)
        hand_over(d.stats + head * d.most + share.part, make_float2(largest, joined.denominator));
    }
  }
  if (share.parts.count > 1) {
    if (before + 1 != static_cast<uint32_t>(share.parts.count)) return;
    __syncthreads();  // the waves' sums have been read
    joined = join(d, own, share.parts.count, share.h0, share.heads, shared);
  }
  if (!has_head) return;
  const auto [sum, denominator] = joined;
  *reinterpret_cast<float4*>(d.out + head * d.Dh + own.dim) =
      make_float4(sum.x / denominator, sum.y / denominator, sum.z / denominator, sum.w / denominator);
}

// How a build is launched: heads of a chunk, threads of a block, blocks of a multiprocessor, and
// Decode::alone.
struct DecodeBuild {
  int heads, threads, resident, alone;
};
// Parts that a set of heads may have: blocks enough for the card, and none without its keys.
inline int64_t parts_for_card(const DecodeBuild& build, int64_t H, int64_t Hkv) {
  const int64_t sets = Hkv * ceil_div(H / Hkv, build.heads);
  return std::max<int64_t>(1, int64_t{build.resident} * device_processors() / sets);
}
inline int64_t most_parts(const DecodeBuild& build, int64_t capacity, int64_t H, int64_t Hkv) {
  return capacity <= build.alone ? 1 : std::min(parts_for_card(build, H, Hkv), ceil_div(capacity, kLeast));
}
// The longest part of at most d.capacity keys.
inline int64_t longest_part(const Decode& d) {
  return std::max<int64_t>(std::min(d.capacity, d.alone), ceil_div(d.capacity, d.most));
}
// Additions on the longest path of the parts' join. p·v: a slice's parts, then the slices, of which a chunk
// of few heads has many; the denominator: a lane's parts and the tree.
inline int64_t join_additions(const DecodeBuild& build, const Decode& d, int dims) {
  const int64_t parts = d.most, wave = wave_size();
  int64_t additions = ceil_div(parts, wave) + tree_depth(wave);
  for (const int heads : {std::min(d.group, build.heads), d.group % build.heads}) {
    if (heads == 0) continue;
    const int64_t slices = build.threads / (dims / 4) >> log2_rows(heads);
    additions = std::max(additions, ceil_div(parts, slices) + std::min(slices, parts));
  }
  return additions;
}

// The workspace: counters, statistics, parts, each at 16 bytes.
inline int64_t counter_floats(int64_t H) { return ceil_div(H, 4) * 4; }
inline int64_t stats_floats(int64_t parts, int64_t H) { return ceil_div(2 * parts * H, 4) * 4; }
inline int64_t workspace_floats(const DecodeBuild& build, int64_t capacity, int64_t H, int64_t Hkv,
                                int64_t Dh) {
  const int64_t parts = most_parts(build, capacity, H, Hkv);
  return counter_floats(H) + stats_floats(parts, H) + parts * H * Dh;
}
inline void place_in_workspace(const DecodeBuild& build, float* workspace, Decode& d) {
  const int64_t H = int64_t{d.Hkv} * d.group, parts = most_parts(build, d.capacity, H, d.Hkv);
  d.most = static_cast<int>(parts);
  d.alone = build.alone;
  d.come = reinterpret_cast<uint32_t*>(workspace);
  d.stats = reinterpret_cast<float2*>(workspace + counter_floats(H));
  d.outs = workspace + counter_floats(H) + stats_floats(parts, H);
}
inline dim3 decode_grid(const DecodeBuild& build, const Decode& d) {
  return dim3(static_cast<unsigned>(ceil_div(d.group, build.heads)), static_cast<unsigned>(d.Hkv),
              static_cast<unsigned>(d.most));
}

// attention_decode_unit.hip: through the matrix unit, heads of up to kMaxUnitDh dims; operands in the type of
// the caches, f16 or bf16.
inline constexpr int64_t kMaxUnitDh = 128;
int64_t unit_decode_workspace(int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh);
Attested unit_decode(const char* op, hipStream_t, Decode, const void* k_cache, const void* v_cache, CacheType,
                     float* workspace);

}  // namespace greta::kernels::inline GRETA_MACHINE
