// What the builds of decode attention have in common: how a cache is cut along its positions, what a block
// has of it, the newest row, and the joining of waves and of parts (attention_decode.hip says how it goes).
// Private to kernels/.
#pragma once

#include <algorithm>

#include "kernels/attention.hpp"
#include "kernels/hip/dependent_launch.hpp"
#include "kernels/hip/last_block.hpp"
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
  int most;        // parts
  int alone;       // keys up to which there is one part: joining would take longer
  uint32_t* done;  // [Hkv, chunks]: parts that are done; 0 between launches
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

// Turns of all pairs, by all threads; a barrier has to follow.
template <int THREADS>
__device__ __forceinline__ void fill_turns(const Unturned& u, int position, Turn* turns) {
  for (int pair = static_cast<int>(threadIdx.x); pair < u.half_rope; pair += THREADS)
    turns[pair] = turn_by(position, u.frequency[pair]);
}

template <int HEADS, int THREADS>
size_t join_shared(int most) {
  return THREADS * sizeof(float4) + static_cast<size_t>(HEADS * (most + 1)) * sizeof(float);
}

__device__ __forceinline__ float4 fma4(float w, float4 x, float4 sum) {
  return make_float4(fmaf(w, x.x, sum.x), fmaf(w, x.y, sum.y), fmaf(w, x.z, sum.z), fmaf(w, x.w, sum.w));
}

// out[h, :] = Σ_parts 2^(max_part − max) out_part / Σ_parts 2^(max_part − max) sum_part of the heads from h0
// on. A thread has 4 dims of every `slices`-th part; the slices are added up in ascending order.
template <int HEADS, int THREADS>
__device__ __forceinline__ void join(const Decode& d, int count, int h0, int heads, uint4* shared) {
  constexpr int kBatch = 9;  // loads of a thread under way
  const int thread = static_cast<int>(threadIdx.x), H = d.Hkv * d.group, fours = heads * d.Dh / 4;
  const int slices = THREADS / fours < count ? THREADS / fours : count;
  const int slice = thread / fours, four = thread % fours;
  float4* const sums = reinterpret_cast<float4*>(shared);             // [slice][four]
  float* const weights = reinterpret_cast<float*>(shared + THREADS);  // [head][part]
  float* const denominators = weights + HEADS * d.most;
  const float4* const outs = reinterpret_cast<const float4*>(d.outs + static_cast<int64_t>(h0) * d.Dh) + four;
  const int64_t stride = static_cast<int64_t>(H) * d.Dh / 4;
  float4 values[kBatch];
  const auto load = [&](int part0) {
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int part = part0 + i * slices;
      values[i] = slice < slices && part < count ? outs[part * stride] : make_float4(0, 0, 0, 0);
    }
  };

  load(slice);
  for (int h = wave_id(); h < heads; h += THREADS / wave_size()) {
    const float2* const stats = d.stats + static_cast<int64_t>(h0 + h) * d.most;
    float largest = -INFINITY, sum = 0;
    for (int part = lane_id(); part < count; part += wave_size()) largest = fmaxf(largest, stats[part].x);
    for (int mask = 1; mask < wave_size(); mask *= 2)
      largest = fmaxf(largest, wave_shuffle_xor(largest, mask));
    for (int part = lane_id(); part < count; part += wave_size()) {
      const float2 of_part = stats[part];
      const float weight = power_of_two(of_part.x - largest);
      weights[h * d.most + part] = weight;
      sum = fmaf(weight, of_part.y, sum);
    }
    for (int mask = 1; mask < wave_size(); mask *= 2) sum += wave_shuffle_xor(sum, mask);
    if (lane_id() == 0) denominators[h] = sum;
  }
  __syncthreads();
  const int h = four * 4 / d.Dh;
  float4 sum = make_float4(0, 0, 0, 0);
  for (int part0 = slice; part0 < count && slice < slices; part0 += kBatch * slices) {
    GRETA_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int part = part0 + i * slices;
      if (part < count) sum = fma4(weights[h * d.most + part], values[i], sum);
    }
    load(part0 + kBatch * slices);
  }
  sums[thread] = sum;
  __syncthreads();
  if (slice != 0) return;
  for (int other = 1; other < slices; ++other) sum = fma4(1, sums[other * fours + four], sum);
  const float denominator = denominators[h];
  reinterpret_cast<float4*>(d.out + static_cast<int64_t>(h0) * d.Dh)[four] =
      make_float4(sum.x / denominator, sum.y / denominator, sum.z / denominator, sum.w / denominator);
}

// Of each wave and head: sums [wave][HEADS][dims] before the division, the maximum that they are relative to
// (of the scores times log2 e), and the exponentials' sum; in shared memory.
struct WaveSums {
  const float* outs;
  int dims;
  const float *maxima, *denominators;
  int waves;
};
// The waves' sums become the part's; the last block of the set joins the parts. By all threads, after a
// barrier.
template <int HEADS, int THREADS>
__device__ __forceinline__ void finish_part(const Decode& d, const Share& share, const WaveSums& of_waves,
                                            uint4* shared, uint32_t* last) {
  const int fours = d.Dh / 4;
  const float *const outs = of_waves.outs, *const maxima = of_waves.maxima,
                     *const denominators = of_waves.denominators;
  const int waves = of_waves.waves, dims = of_waves.dims;
  float4* const part_outs = reinterpret_cast<float4*>(
      d.outs + (static_cast<int64_t>(share.part) * d.Hkv * d.group + share.h0) * d.Dh);
  for (int i = static_cast<int>(threadIdx.x); i < share.heads * fours; i += THREADS) {
    const int h = i / fours, column = i % fours * 4;
    float largest = -INFINITY, denominator = 0;
    float4 sum = make_float4(0, 0, 0, 0);
    GRETA_UNROLL
    for (int w = 0; w < waves; ++w) largest = fmaxf(largest, maxima[w * HEADS + h]);
    GRETA_UNROLL
    for (int w = 0; w < waves; ++w) {
      const float weight = power_of_two(maxima[w * HEADS + h] - largest);
      sum = fma4(weight, *reinterpret_cast<const float4*>(outs + (w * HEADS + h) * dims + column), sum);
      denominator = fmaf(weight, denominators[w * HEADS + h], denominator);
    }
    if (share.parts.count == 1) {
      reinterpret_cast<float4*>(d.out + static_cast<int64_t>(share.h0) * d.Dh)[i] =
          make_float4(sum.x / denominator, sum.y / denominator, sum.z / denominator, sum.w / denominator);
      continue;
    }
    part_outs[i] = sum;
    if (column == 0)
      d.stats[static_cast<int64_t>(share.h0 + h) * d.most + share.part] = make_float2(largest, denominator);
  }

  if (share.parts.count == 1) return;
  if (!is_last_block(d.done + share.set, static_cast<uint32_t>(share.parts.count), last)) return;
  join<HEADS, THREADS>(d, share.parts.count, share.h0, share.heads, shared);
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
inline int64_t join_additions(const DecodeBuild& build, const Decode& d) {
  const int64_t parts = d.most, wave = wave_size();
  int64_t additions = ceil_div(parts, wave) + tree_depth(wave);
  for (const int64_t heads : {std::min(d.group, build.heads), d.group % build.heads}) {
    if (heads == 0) continue;
    const int64_t slices = build.threads / (heads * d.Dh / 4);
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
  d.done = reinterpret_cast<uint32_t*>(workspace);
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
