// Attention of one row, cut along the cache (split-K): a block a part of the keys and the heads that share a
// key head. The last block of a set of heads to begin joins their parts as they arrive (hip/hand_over.hpp), in
// ascending order, so which one it was changes no bit.
//
// As many parts as fill the card once, of equal length, so the work ends everywhere at once, but of few keys
// one, which needs no joining; the capacity changes no bit. 8, 16 or 32 lanes hold a key's dims, 8 each, so a
// wave reads whole rows. A wave goes over its keys of the part in runs with a running maximum of its own; a
// lane copies what it will read itself to a ring in shared memory, so that several runs are under way without
// a register. The heads of a group share each load; their scores are summed over the lanes by exchanging
// halves (4 heads: 5 shuffles a key instead of 16). Costs T · Dh · 2 values read once for all heads of a
// group, 4 · Dh FLOP a key and head, heads · Dh floats a part written and read again.
//
// rope_attention_decode: a block turns q itself; the lanes that read the newest key get its row from k and v,
// not from the caches, and write it there. So nothing has to be launched between the products and attention.
//
// chain: 8 fused multiply-adds a lane and the tree. sum: a lane's runs, the lanes and waves of a block, the
// parts. rescales: a wave's runs, its block's join, the parts' join.
#include "kernels/attention_decode.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

// Threads of a block, and blocks of a multiprocessor, which then is full; AMD's compiler takes waves a SIMD.
#if defined(GRETA_HIP_NVIDIA)
constexpr int kThreads = 512, kResident = 1;
#else
constexpr int kThreads = 256, kResident = 2;
#endif
// Runs in the ring, and keys of a lane in one run; AMD and the host have room for less. A deeper ring leaves
// more work behind the last byte's arrival.
#if defined(GRETA_HIP_NVIDIA)
constexpr int kRing = 3;
template <CacheType C>
constexpr int kAhead = C == CacheType::f32 ? 2 : 4;
#else
constexpr int kRing = 2;
template <CacheType C>
constexpr int kAhead = C == CacheType::f32 ? 1 : 2;
#endif
constexpr int kRun = 8;  // dims of a lane
constexpr int kAlone = 256;
constexpr int kMinWave = 32;

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

// A lane's running softmax of its head: the maximum alike in all lanes of that head, the sum of the lane's
// own keys.
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
  const float factor = power_of_two(running.maximum - shift);
  running.sum = fmaf(running.sum, factor, sum);
  running.maximum = largest;
  return factor;
}

// Of a block: the ring of runs, or, when it has been read, the waves' sums; at last what the join needs.
template <CacheType C, int LANES, int HEADS>
constexpr size_t kPartShared = std::max(kRing * 2 * kAhead<C> * kThreads * sizeof(CacheRun<C>),
                                        kThreads / kMinWave * HEADS * LANES * kRun * sizeof(float));

template <CacheType C, int LANES, int HEADS>
__global__ void __launch_bounds__(kThreads, kResident)
    attention_decode_kernel(Decode d, const typename CacheValue<C>::Stored* k_cache,
                            const typename CacheValue<C>::Stored* v_cache) {
  using Stored = typename CacheValue<C>::Stored;
  constexpr int kDims = LANES * kRun, kMaxWaves = kThreads / kMinWave, kCount = kAhead<C>;
  constexpr int kPieces = sizeof(CacheRun<C>) / sizeof(uint4);
  constexpr int kShare = LANES / HEADS;                           // lanes of a key that have one head's score
  GRETA_DYNAMIC_SHARED(uint4, ring);                              // [slot][K, V][key][piece][thread]
  GRETA_SHARED(HeadValues<HEADS>, p, kCount * kThreads / LANES);  // [wave][key of the run]
  GRETA_SHARED(float, maxima, kMaxWaves* HEADS);
  GRETA_SHARED(float, denominators, kMaxWaves* HEADS);
  GRETA_SHARED(uint32_t, before, 1);
  GRETA_SHARED(Turn, turns, kMaxFusedDh / 2);

  release_successor();
  const FillTurns<kThreads> fill_turns(d.unturned);
  const int past = d.positions[0], T = past < 0 ? 1 : past < d.capacity ? past + 1 : d.capacity;
  const Share share = share_of<HEADS>(d, T);
  if (share.part >= share.parts.count) return;
  const int kv = share.kv, h0 = share.h0, heads = share.heads, t0 = share.t0, keys = share.keys;

  const int waves = kThreads / wave_size(), groups = wave_size() / LANES, run_keys = kCount * groups;
  const int thread = static_cast<int>(threadIdx.x), lane = lane_id(), wave = wave_id();
  const int head = lane % LANES / kShare;
  // A lane's dims: one piece of 16 bytes from each of kPieces equal shares of the row, so that the lanes of a
  // key read neighbouring pieces.
  constexpr int kPieceDims = kRun / kPieces;
  const auto dim_of = [&](int j) {
    return (j / kPieceDims * LANES + lane % LANES) * kPieceDims + j % kPieceDims;
  };
  bool has_piece[kPieces];
  GRETA_UNROLL
  for (int piece = 0; piece < kPieces; ++piece) has_piece[piece] = dim_of(piece * kPieceDims) < d.Dh;
  const int64_t stride = static_cast<int64_t>(d.Hkv) * d.Dh, all_waves = waves * run_keys * stride;
  const int first = wave * run_keys + lane / LANES;  // the lane's first key
  const int64_t base = (t0 + first) * stride + static_cast<int64_t>(kv) * d.Dh + dim_of(0);
  const auto place = [&](int slot, int of_v, int i, int piece) {
    return ring + (((slot * 2 + of_v) * kCount + i) * kPieces + piece) * kThreads + thread;
  };
  struct {
    int key, slot;  // of the run that is fetched next
    int64_t at;
  } next{first, 0, base};
  // The lane's pieces of the wave's next run; none of a run that lies beyond the part, since nobody will read
  // it.
  const auto fetch = [&] {
    if (next.key - lane / LANES < keys) {
      GRETA_UNROLL
      for (int of_v = 0; of_v < 2; ++of_v) {
        GRETA_UNROLL
        for (int i = 0; i < kCount; ++i) {
          const Stored* const from = (of_v ? v_cache : k_cache) + next.at + i * groups * stride;
          GRETA_UNROLL
          for (int piece = 0; piece < kPieces; ++piece) {
            copy_piece(reinterpret_cast<half_bits*>(place(next.slot, of_v, i, piece)),
                       from + piece * LANES * kPieceDims,
                       next.key + i * groups < share.stored && has_piece[piece]);
          }
        }
      }
    }
    copies_commit();
    next.key += waves * run_keys, next.at += all_waves;
    next.slot = next.slot + 1 < kRing ? next.slot + 1 : 0;
  };
  const auto read = [&](int slot, int of_v, int i, float(&values)[kRun]) {
    CacheRun<C> bits;
    GRETA_UNROLL
    for (int piece = 0; piece < kPieces; ++piece) bits.bits[piece] = *place(slot, of_v, i, piece);
    bits.to_f32(values);
  };

  for (int run = 0; run < kRing - 1; ++run) fetch();
  const Unturned& u = d.unturned;
  if (u.half_rope > 0) {
    fill_turns.run(past, turns);
    __syncthreads();
  }
  wait_for_predecessor();
  const uint32_t come_before = come(d, share);
  // A lane's dims of a row of floats, and turned where the row is one to turn.
  const auto load_dims = [&](const float* row, float(&x)[kRun]) {
    GRETA_UNROLL
    for (int j = 0; j < kRun; j += 4) {
      const float4 four =
          dim_of(j) < d.Dh ? *reinterpret_cast<const float4*>(row + dim_of(j)) : make_float4(0, 0, 0, 0);
      x[j] = four.x, x[j + 1] = four.y, x[j + 2] = four.z, x[j + 3] = four.w;
    }
  };
  const auto turn_dims = [&](float(&x)[kRun]) {
    GRETA_UNROLL
    for (int j = 0; j < kRun; j += 2) {
      if (dim_of(j) / 2 < u.half_rope) apply(turns[dim_of(j) / 2], x[j], x[j + 1], x + j);
    }
  };
  const auto store_dims = [&](const float(&x)[kRun], float* row) {
    GRETA_UNROLL
    for (int j = 0; j < kRun; j += 4) {
      if (dim_of(j) < d.Dh)
        *reinterpret_cast<float4*>(row + dim_of(j)) = make_float4(x[j], x[j + 1], x[j + 2], x[j + 3]);
    }
  };
  float q[HEADS][kRun] = {}, sums[HEADS][kRun] = {};
  GRETA_UNROLL
  for (int h = 0; h < HEADS; ++h) {
    if (h < heads) load_dims(d.q + static_cast<int64_t>(h0 + h) * d.Dh, q[h]);
  }
  // The newest key, in the lanes that will read it: in the run that begins at `run_key`, its key i.
  struct {
    int run_key = -1, i = 0;
    CacheRun<C> rows[2];  // k, v
  } last_row;
  const int from_first = share.newest - first, in_run = from_first % (waves * run_keys);
  if (share.newest < keys && from_first >= 0 && in_run < run_keys && in_run % groups == 0) {
    last_row.i = in_run / groups;
    last_row.run_key = share.newest - in_run;
    const int64_t row = static_cast<int64_t>(kv) * d.Dh, at = base + from_first * stride;
    if (u.k != nullptr) {
      float k[kRun], v[kRun];
      load_dims(u.k + row, k);
      load_dims(u.v + row, v);
      turn_dims(k);
      last_row.rows[0].from_f32(k);
      last_row.rows[1].from_f32(v);
      if (share.first_chunk) {
        if (u.k_out != nullptr) store_dims(k, u.k_out + row);
        GRETA_UNROLL
        for (int piece = 0; piece < kPieces; ++piece) {
          if (!has_piece[piece]) continue;
          const int64_t to = at + piece * LANES * kPieceDims;
          *reinterpret_cast<uint4*>(static_cast<Stored*>(u.k_cache) + to) = last_row.rows[0].bits[piece];
          *reinterpret_cast<uint4*>(static_cast<Stored*>(u.v_cache) + to) = last_row.rows[1].bits[piece];
        }
      }
    } else {
      GRETA_UNROLL
      for (int piece = 0; piece < kPieces; ++piece) {
        const int64_t from = at + piece * LANES * kPieceDims;
        last_row.rows[0].bits[piece] =
            has_piece[piece] ? *reinterpret_cast<const uint4*>(k_cache + from) : make_uint4(0, 0, 0, 0);
        last_row.rows[1].bits[piece] =
            has_piece[piece] ? *reinterpret_cast<const uint4*>(v_cache + from) : make_uint4(0, 0, 0, 0);
      }
    }
  }
  if (u.half_rope > 0) {
    GRETA_UNROLL
    for (int h = 0; h < HEADS; ++h) turn_dims(q[h]);
  }
  if (u.q_out != nullptr && share.part == 0 && thread < LANES) {
    GRETA_UNROLL
    for (int h = 0; h < HEADS; ++h) {
      if (h < heads) store_dims(q[h], u.q_out + static_cast<int64_t>(h0 + h) * d.Dh);
    }
  }
  Running running;
  HeadValues<HEADS>* const run_p = p + wave * run_keys;
  int slot = 0;
  for (int run_key = first; run_key - lane / LANES < keys; run_key += waves * run_keys) {
    fetch();
    copies_wait<kRing - 1>();  // this run's; no other lane's pieces are read, so no barrier
    if (run_key == last_row.run_key) {
      GRETA_UNROLL
      for (int of_v = 0; of_v < 2; ++of_v) {
        GRETA_UNROLL
        for (int piece = 0; piece < kPieces; ++piece)
          *place(slot, of_v, last_row.i, piece) = last_row.rows[of_v].bits[piece];
      }
    }
    float scores[kCount];
    GRETA_UNROLL
    for (int i = 0; i < kCount; ++i) {
      float key[kRun], dots[HEADS] = {};
      read(slot, 0, i, key);
      GRETA_UNROLL
      for (int h = 0; h < HEADS; ++h) {
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) dots[h] = fmaf(q[h][j], key[j], dots[h]);
      }
      const float dot = sum_heads<LANES, HEADS>(dots);
      scores[i] = run_key + i * groups < keys ? d.scale * dot : -INFINITY;
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
      read(slot, 1, i, value);
      const HeadValues<HEADS> of_key = run_p[i * groups + lane / LANES];
      GRETA_UNROLL
      for (int h = 0; h < HEADS; ++h) {
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) sums[h][j] = fmaf(of_key.x[h], value[j], sums[h][j]);
      }
    }
    wave_sync();
    slot = slot + 1 < kRing ? slot + 1 : 0;
  }

  copies_wait<0>();
  __syncthreads();                                     // the ring has been read: it becomes the waves' sums
  float* const outs = reinterpret_cast<float*>(ring);  // [wave][head][dim]
  GRETA_UNROLL
  for (int h = 0; h < HEADS; ++h) {
    GRETA_UNROLL
    for (int j = 0; j < kRun; ++j) {
      for (int mask = LANES; mask < wave_size(); mask *= 2) sums[h][j] += wave_shuffle_xor(sums[h][j], mask);
    }
    GRETA_UNROLL
    for (int j = 0; j < kRun; j += 4) {
      if (lane < LANES) {
        *reinterpret_cast<float4*>(outs + (wave * HEADS + h) * kDims + dim_of(j)) =
            make_float4(sums[h][j], sums[h][j + 1], sums[h][j + 2], sums[h][j + 3]);
      }
    }
  }
  for (int mask = LANES; mask < wave_size(); mask *= 2) running.sum += wave_shuffle_xor(running.sum, mask);
  if (lane < LANES && lane % kShare == 0) {
    maxima[wave * HEADS + head] = running.maximum;
    denominators[wave * HEADS + head] = running.sum;
  }
  if (threadIdx.x == 0) *before = come_before;
  __syncthreads();
  finish_part<HEADS, kThreads, kDims>(d, share, {outs, kDims, maxima, denominators, waves}, ring, *before);
}

template <CacheType C, int LANES, int HEADS>
void launch(const std::string& name, hipStream_t stream, const DecodeBuild& build, const Decode& d,
            const void* k_cache, const void* v_cache) {
  using Stored = typename CacheValue<C>::Stored;
  const size_t shared = std::max(kPartShared<C, LANES, HEADS>, join_shared<kThreads, LANES * kRun>(d.most));
  launch_dependent(name.c_str(), attention_decode_kernel<C, LANES, HEADS>, decode_grid(build, d),
                   dim3(kThreads), shared, stream, d, static_cast<const Stored*>(k_cache),
                   static_cast<const Stored*>(v_cache));
}

int lanes_for(int64_t Dh) { return Dh <= 64 ? 8 : Dh <= 128 ? 16 : 32; }
DecodeBuild build_for(int64_t H, int64_t Hkv) { return {H == Hkv ? 1 : 4, kThreads, kResident, kAlone}; }

Attested lane_decode(const char* op, hipStream_t stream, Decode d, const void* k_cache, const void* v_cache,
                     CacheType type, float* workspace) {
  const int64_t H = int64_t{d.Hkv} * d.group;
  const DecodeBuild build = build_for(H, d.Hkv);
  place_in_workspace(build, workspace, d);
  const int lanes = lanes_for(d.Dh), wave = wave_size();
  const std::string name = std::string(op) + "<cache=" + cache_name(type) +
                           ",parts=" + std::to_string(parts_for_card(build, H, d.Hkv)) +
                           ",lanes=" + std::to_string(lanes) + ",heads=" + std::to_string(build.heads) +
                           ",threads=" + std::to_string(kThreads) + ",wave=" + std::to_string(wave) + ">";
  with_cache_type(type, [&]<CacheType C>() {
    const auto with_heads = [&]<int LANES>() {
      build.heads == 1 ? launch<C, LANES, 1>(name, stream, build, d, k_cache, v_cache)
                       : launch<C, LANES, 4>(name, stream, build, d, k_cache, v_cache);
    };
    lanes == 8    ? with_heads.template operator()<8>()
    : lanes == 16 ? with_heads.template operator()<16>()
                  : with_heads.template operator()<32>();
  });
  check_launched(name);

  const int64_t ahead = type == CacheType::f32 ? kAhead<CacheType::f32> : kAhead<CacheType::f16>;
  const int64_t waves = kThreads / wave, run_keys = ahead * (wave / lanes);
  const int64_t runs = ceil_div(longest_part(d), waves * run_keys);
  const int64_t sum =
      runs * ahead + tree_depth(wave / lanes) + waves + join_additions(build, d, lanes * kRun);
  return {name, attention_contract("f32", "f32", {kRun + tree_depth(lanes), sum, runs + 2}, "ieee")};
}

Attested decode(const char* op, hipStream_t stream, const Decode& d, const void* k_cache, const void* v_cache,
                CacheType type, float* workspace, Unit unit) {
  const bool through_unit = unit == Unit::mfma && type != CacheType::f32 && d.Dh <= kMaxUnitDh;
  return (through_unit ? unit_decode : lane_decode)(op, stream, d, k_cache, v_cache, type, workspace);
}

Decode decode_call(const char* op, const float* q, const void* k_cache, const void* v_cache,
                   const int32_t* positions, int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh,
                   const float* workspace, float* out) {
  require(q != nullptr && k_cache != nullptr && v_cache != nullptr && positions != nullptr &&
              workspace != nullptr && out != nullptr,
          op, "a pointer is null");
  require(capacity > 0 && capacity <= INT32_MAX, op, "capacity is at least 1 and below 2^31");
  require_fused(H, Hkv, Dh, op);
  Decode d{};
  d.q = q;
  d.positions = positions;
  d.Hkv = static_cast<int>(Hkv);
  d.group = static_cast<int>(H / Hkv);
  d.Dh = static_cast<int>(Dh);
  d.scale = log2_scale(Dh);
  d.capacity = static_cast<int>(capacity);
  d.out = out;
  return d;
}

}  // namespace

int64_t attention_decode_workspace(int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh) {
  return std::max(workspace_floats(build_for(H, Hkv), capacity, H, Hkv, Dh),
                  unit_decode_workspace(capacity, H, Hkv, Dh));
}

Attested attention_decode(hipStream_t stream, const float* q, const void* k_cache, const void* v_cache,
                          CacheType type, const int32_t* positions, int64_t capacity, int64_t H, int64_t Hkv,
                          int64_t Dh, float* workspace, float* out, Unit unit) {
  constexpr const char* kOp = "attention_decode";
  const Decode d = decode_call(kOp, q, k_cache, v_cache, positions, capacity, H, Hkv, Dh, workspace, out);
  return decode(kOp, stream, d, k_cache, v_cache, type, workspace, unit);
}

RopeAttentionRan rope_attention_decode(hipStream_t stream, const float* q, const float* k, const float* v,
                                       const float* frequency, const int32_t* positions, int64_t rope_dims,
                                       float* q_out, float* k_out, void* k_cache, void* v_cache,
                                       CacheType type, int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh,
                                       float* workspace, float* out, Unit unit) {
  constexpr const char* kOp = "rope_attention_decode";
  require(k != nullptr && v != nullptr && frequency != nullptr, kOp, "a pointer is null");
  Decode d = decode_call(kOp, q, k_cache, v_cache, positions, capacity, H, Hkv, Dh, workspace, out);
  require_rope(Dh, rope_dims, kOp);
  d.unturned = {k, v, frequency, static_cast<int>(rope_dims / 2), q_out, k_out, k_cache, v_cache};
  const Attested attended = decode(kOp, stream, d, k_cache, v_cache, type, workspace, unit);
  const Attested turned{attended.kernel, kRopeContract}, written{attended.kernel, copy_contract(type)};
  return {turned, turned, written, written, attended};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
