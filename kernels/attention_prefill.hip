// Flash attention (Dao et al. 2022; the order of products and softmax is that of Shah et al. 2024): a block
// takes 16 rows of q a wave and walks over tiles of keys up to its last row's position, with a running
// maximum and sum a row; scores never leave the registers.
//
// Tiles of K and V wait in rings of shared memory, copied while earlier ones are multiplied. In step j the
// scores of tile j and the product of tile j − 1's exponentials with V run together; where the matrix unit
// works on its own (wave_group.hpp) later tiles are asked for and the exponentials of tile j are computed
// beside them, and q waits in shared memory too, which leaves registers for 128 keys a step. Heavy blocks
// (the last rows) start first. A rescaling that multiplies by 1 everywhere in a wave is left out: it would
// change no bit.
//
// A cache of the operand's own type is copied as it is; any other goes through registers and is rounded.
// Costs 4 · Dh FLOP a score computed, one exponential a score, K and V read once a block.
#include <algorithm>

#include "kernels/attention.hpp"
#include "kernels/attention_running.hpp"
#include "kernels/hip/wave_group_double.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

// Tiles of K, and of V, in shared memory, which AMD and the host have 64 KiB of.
#if defined(GRETA_HIP_NVIDIA)
constexpr int kRing = 3;
#else
constexpr int kRing = 2;
#endif
#if defined(GRETA_HIP_HOST)
constexpr int kPlainWaves = 1;
#else
constexpr int kPlainWaves = 4;
#endif
#if defined(GRETA_HIP_AMD)
constexpr int kWideWaves = 4;  // one a SIMD: two would have registers for half of it
#else
constexpr int kWideWaves = 8;
#endif
#if defined(GRETA_HIP_HOST)
constexpr int kCardWave = 64;
#else
constexpr int kCardWave = wave_size();
#endif
// Two groups of waves take 128 keys at a time, one takes 64, so that two blocks fit a multiprocessor; a wave
// alone 32 (AMD's of the largest heads 16), which leaves it registers enough.
constexpr bool in_groups(int dims, int waves) {
  return kWaveGroups && dims <= 128 && waves % kGroupWaves == 0;
}
constexpr int keys_of_tile(int dims, int waves) {
#if defined(GRETA_HIP_AMD)
  if (dims > 128) return 16;
#endif
  return !in_groups(dims, waves) ? 32 : waves > kGroupWaves ? 128 : 64;
}
// Values of q in shared memory, where groups of waves take it from; a wave alone keeps it in registers.
constexpr int queries_of_tile(int dims, int waves) {
  return in_groups(dims, waves) ? waves * kTile * dims : 0;
}
// Blocks that a multiprocessor of a card has to have registers for.
constexpr int resident_blocks(int dims, int waves) { return in_groups(dims, waves) ? kWideWaves / waves : 1; }

struct Prefill {
  const float* q;
  const void *k_cache, *v_cache;
  CacheType type;
  int S, start, H, Hkv, Dh;
  float scale;
  float* out;
};

// Rows t0, t0 + 1, … of one head of a cache in the operand's type; zeros from row T and column Dh on.
template <Operand O, int DIMS, int WAVES>
__device__ __forceinline__ void load_tile(const Prefill& c, const void* cache, int kv, int t0, int T,
                                          half_bits* tile) {
  constexpr int kKeys = keys_of_tile(DIMS, WAVES), kPieces = DIMS / kPiece;
  // A thread has the same piece of every `step`-th row.
  const int step = WAVES * wave_size() / kPieces, first = static_cast<int>(threadIdx.x) / kPieces;
  const int column = static_cast<int>(threadIdx.x) % kPieces * kPiece;
  const int64_t stride = static_cast<int64_t>(c.Hkv) * c.Dh;
  const int64_t base = (t0 + first) * stride + static_cast<int64_t>(kv) * c.Dh + column;
  const int end = column < c.Dh ? T - t0 : 0;  // of the rows that are there
  if (c.type == (O == Operand::f16 ? CacheType::f16 : CacheType::bf16)) {
    const half_bits* const from = static_cast<const half_bits*>(cache) + base;
    GRETA_UNROLL
    for (int n = 0; n < (kKeys + step - 1) / step; ++n) {
      const int row = first + n * step;
      if (kKeys % step != 0 && row >= kKeys) return;
      copy_piece(tile + tile_at(kKeys, row, column), from + n * step * stride, row < end);
    }
    return;
  }
  GRETA_NO_UNROLL
  for (int row = first; row < kKeys; row += step) {
    float values[kPiece] = {};
    const auto read = [&]<CacheType C>() {
      CacheRun<C> run;
      run.load(static_cast<const typename CacheValue<C>::Stored*>(cache) + base + (row - first) * stride);
      run.to_f32(values);
    };
    if (row < end && c.type == CacheType::f32) read.template operator()<CacheType::f32>();
    if (row < end && c.type == CacheType::f16) read.template operator()<CacheType::f16>();
    if (row < end && c.type == CacheType::bf16) read.template operator()<CacheType::bf16>();
    uint4 rounded;
    rounded.x = rounded_pair<O>(values[0], values[1]), rounded.y = rounded_pair<O>(values[2], values[3]);
    rounded.z = rounded_pair<O>(values[4], values[5]), rounded.w = rounded_pair<O>(values[6], values[7]);
    *reinterpret_cast<uint4*>(tile + tile_at(kKeys, row, column)) = rounded;
  }
}

// Rows row0 … of q, rounded, as a tile; zeros beyond S and Dh.
template <Operand O, int DIMS, int WAVES>
__device__ __forceinline__ void load_queries(const Prefill& c, int row0, int h, half_bits* tile) {
  constexpr int kRows = WAVES * kTile, kPieces = DIMS / kPiece, kCardThreads = WAVES * kCardWave;
  GRETA_UNROLL
  for (int i = 0; i < kRows * kPieces / kCardThreads; ++i) {
    const int n = static_cast<int>(threadIdx.x) + i * kCardThreads;
    const int row = n / kPieces, column = n % kPieces * kPiece, s = row0 + row;
    float4 low = make_float4(0, 0, 0, 0), high = low;
    if (s < c.S && column < c.Dh) {
      const auto* const from =
          reinterpret_cast<const float4*>(c.q + (static_cast<int64_t>(s) * c.H + h) * c.Dh + column);
      low = from[0], high = from[1];
    }
    uint4 rounded;
    rounded.x = rounded_pair<O>(low.x, low.y), rounded.y = rounded_pair<O>(low.z, low.w);
    rounded.z = rounded_pair<O>(high.x, high.y), rounded.w = rounded_pair<O>(high.z, high.w);
    *reinterpret_cast<uint4*>(tile + tile_at(kRows, row, column)) = rounded;
  }
}

// Four neighbours of a row in one access: with waves of 32 a lane has two neighbours of one piece of 8
// columns and two of the next, so even lanes take the former piece's and odd lanes the latter's, and
// neighbouring lanes exchange a pair.
__device__ __forceinline__ int fours_column() { return lane_id() % 2 * 8 + lane_id() % 4 / 2 * 4; }

// Columns k0 … k0 + 15 of 16 rows of q, rounded; zeros beyond S and Dh.
template <Operand O>
__device__ __forceinline__ PairsA query_pairs(const Prefill& c, int row0, int h, int k0) {
  PairsA a{};
  if (wave_size() == 32) {
    const bool odd = lane_id() % 2 != 0;
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int s = row0 + a_cell(lane_id(), 2 * half).row, d = k0 + fours_column();
      float4 four = make_float4(0, 0, 0, 0);
      if (s < c.S && d < c.Dh) {
        four = *reinterpret_cast<const float4*>(c.q + (static_cast<int64_t>(s) * c.H + h) * c.Dh + d);
      }
      const uint32_t first = rounded_pair<O>(four.x, four.y), second = rounded_pair<O>(four.z, four.w);
      const uint32_t other = wave_shuffle_xor(odd ? first : second, 1);
      a.x[half] = odd ? other : first;
      a.x[2 + half] = odd ? second : other;
    }
    return a;
  }
  GRETA_UNROLL
  for (int r = 0; r < fragment_elements(); r += 2) {
    const FragmentCell cell = a_cell(lane_id(), r);
    const int s = row0 + cell.row, d = k0 + cell.column;
    float2 pair = make_float2(0, 0);
    if (s < c.S && d < c.Dh) {
      pair = *reinterpret_cast<const float2*>(c.q + (static_cast<int64_t>(s) * c.H + h) * c.Dh + d);
    }
    a.x[r / 2] = rounded_pair<O>(pair.x, pair.y);
  }
  return a;
}

// 16 rows of the output, columns d0 … d0 + 15, each row times its factor.
__device__ __forceinline__ void store_rows(const Prefill& c, int row0, int h, int d0, const FragmentAcc& sums,
                                           const float (&factor)[kLaneRowStorage]) {
  if (wave_size() == 32) {
    const bool odd = lane_id() % 2 != 0;
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float f = factor[half];
      const float2 near = make_float2(sums.x[2 * half] * f, sums.x[2 * half + 1] * f),
                   far = make_float2(sums.x[4 + 2 * half] * f, sums.x[5 + 2 * half] * f);
      const float2 other =
          make_float2(wave_shuffle_xor(odd ? near.x : far.x, 1), wave_shuffle_xor(odd ? near.y : far.y, 1));
      const int s = row0 + acc_cell(lane_id(), 2 * half).row, d = d0 + fours_column();
      if (s < c.S && d < c.Dh) {
        *reinterpret_cast<float4*>(c.out + (static_cast<int64_t>(s) * c.H + h) * c.Dh + d) =
            odd ? make_float4(other.x, other.y, far.x, far.y) : make_float4(near.x, near.y, other.x, other.y);
      }
    }
    return;
  }
  GRETA_UNROLL
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell cell = acc_cell(lane_id(), r);
    const int s = row0 + cell.row, d = d0 + cell.column;
    if (s < c.S && d < c.Dh) {
      c.out[(static_cast<int64_t>(s) * c.H + h) * c.Dh + d] = sums.x[r] * factor[lane_row_of(r)];
    }
  }
}

// Scores of keys beyond a row's position become −∞. `ahead`: the position of the wave's first row less the
// tile's first key.
template <int TILES>
__device__ __forceinline__ void mask(FragmentAcc (&scores)[TILES], int ahead) {
  GRETA_UNROLL
  for (int t = 0; t < TILES; ++t) {
    GRETA_UNROLL
    for (int r = 0; r < fragment_elements(); ++r) {
      const FragmentCell cell = acc_cell(lane_id(), r);
      if (t * kTile + cell.column > ahead + cell.row) scores[t].x[r] = -INFINITY;
    }
  }
}

template <Operand O, int DIMS, int WAVES>
__global__ void __launch_bounds__(WAVES* kCardWave, resident_blocks(DIMS, WAVES))
    attention_prefill_kernel(Prefill c) {
  constexpr int kKeys = keys_of_tile(DIMS, WAVES), kKeyTiles = kKeys / kTile, kDimTiles = DIMS / kTile;
  constexpr int kValues = kKeys * DIMS;                                              // of a tile
  constexpr bool kGroups = in_groups(DIMS, WAVES), kKept = !kGroups && DIMS <= 128;  // q in registers
  GRETA_DYNAMIC_SHARED(half_bits, queries);
  half_bits* const ring = queries + queries_of_tile(DIMS, WAVES);

  const int tiles = (c.S + WAVES * kTile - 1) / (WAVES * kTile);
  const int tile = tiles - 1 - static_cast<int>(blockIdx.x) / c.H, h = static_cast<int>(blockIdx.x) % c.H;
  const int kv = h / (c.H / c.Hkv), row0 = (tile * WAVES + wave_id()) * kTile;
  const int T = c.start + c.S, last = c.start + (tile + 1) * WAVES * kTile;
  const int end = T < last ? T : last;
  const int steps = (end + kKeys - 1) / kKeys;

  const auto keys = [&](int j) { return ring + j % kRing * kValues; };
  const auto values = [&](int j) { return ring + (kRing + j % kRing) * kValues; };
  const auto fetch = [&](int step) {  // what step + kRing − 1 needs
    const int k = step + kRing - 1, v = k - 1;
    if (k < steps) load_tile<O, DIMS, WAVES>(c, c.k_cache, kv, k * kKeys, T, keys(k));
    if (v >= 0 && v < steps) load_tile<O, DIMS, WAVES>(c, c.v_cache, kv, v * kKeys, T, values(v));
    copies_commit();
  };
  const auto begin_step = [&] {
    copies_wait<kRing - 2>();
    shared_written();
    __syncthreads();  // tiles of this step are there, those of the step before are free
  };

  PairsA query[kKept ? kDimTiles : 1], p[kKeyTiles];
  FragmentAcc scores[kKeyTiles], outs[kDimTiles];
  RunningRows running;
  float factor[kLaneRowStorage];
  for (int step = 1 - kRing; step < 0; ++step) fetch(step);
  if constexpr (kGroups) load_queries<O, DIMS, WAVES>(c, tile * WAVES * kTile, h, queries);
  if constexpr (kKept) {
    GRETA_UNROLL
    for (int k = 0; k < kDimTiles; ++k) query[k] = query_pairs<O>(c, row0, h, k * kTile);
    group_hold(query);
  }
  GRETA_UNROLL
  for (int t = 0; t < kDimTiles; ++t) outs[t].fill(0);
  running.begin();

  const auto multiply_keys = [&](int j) {
    if constexpr (kGroups) {
      GRETA_UNROLL
      for (int k = 0; k < kDimTiles; ++k) {
        group_product_of_tiles<O, kKeyTiles>(scores, queries, WAVES * kTile,
                                             wave_id() / kGroupWaves * kGroupWaves * kTile, keys(j), kKeys,
                                             k * kTile, k > 0);
      }
    } else if constexpr (kKept) {
      GRETA_UNROLL
      for (int k = 0; k < kDimTiles; ++k) {
        wave_product_by_rows<O, kKeyTiles>(scores, query[k], keys(j), kKeys, 0, k * kTile, k > 0);
      }
    } else {
      GRETA_NO_UNROLL
      for (int k = 0; k < kDimTiles; ++k) {
        query[0] = query_pairs<O>(c, row0, h, k * kTile);
        wave_product_by_rows<O, kKeyTiles>(scores, query[0], keys(j), kKeys, 0, k * kTile, k > 0);
      }
    }
    group_commit();
  };
  const auto multiply_values = [&](int j) {
    GRETA_UNROLL
    for (int k = 0; k < kKeyTiles; ++k) {
      if constexpr (kGroups) {
        group_product_of_columns<O, kDimTiles>(outs, p[k], values(j), kKeys, k * kTile);
      } else {
        wave_product_by_columns<O, kDimTiles>(outs, p[k], values(j), kKeys, k * kTile, 0, true);
      }
    }
    group_commit();
  };
  const auto softmax = [&](int j) {
    const int ahead = c.start + row0 - j * kKeys;
    if (ahead < kKeys - 1) mask(scores, ahead);
    exponentials(scores, c.scale, running, factor);
  };
  const auto round_exponentials = [&] {
    GRETA_UNROLL
    for (int t = 0; t < kKeyTiles; ++t) p[t] = as_rows_of_a<O>(scores[t]);
    group_hold(p);
  };

  begin_step();
  fetch(0);
  GRETA_UNROLL
  for (int t = 0; t < kKeyTiles; ++t) scores[t].fill(0);
  group_hold(scores);
  group_begin();
  multiply_keys(0);
  group_wait<0>();
  group_hold(scores);
  softmax(0);
  round_exponentials();
  for (int j = 1; j < steps; ++j) {
    begin_step();
    group_hold(outs);
    group_hold(scores);
    group_hold(p);
    group_begin();
    multiply_keys(j);
    multiply_values(j - 1);
    fetch(j);  // while the unit works
    group_wait<1>();
    group_hold(scores);
    softmax(j);
    group_wait<0>();
    group_hold(outs);
    rescale(outs, factor);
    round_exponentials();
  }
  begin_step();
  group_hold(outs);
  group_hold(p);
  group_begin();
  multiply_values(steps - 1);
  group_wait<0>();
  group_hold(outs);

  GRETA_UNROLL
  for (int i = 0; i < lane_rows(wave_size()); ++i) running.sum[i] = 1.0f / row_sum(running.sum[i]);
  GRETA_UNROLL
  for (int t = 0; t < kDimTiles; ++t) store_rows(c, row0, h, t * kTile, outs[t], running.sum);
}

struct Launched {
  std::string name;
  int keys;  // of a tile
};

template <Operand O, int DIMS, int WAVES>
Launched launch(hipStream_t stream, const Prefill& c) {
  constexpr int kKeys = keys_of_tile(DIMS, WAVES);
  constexpr size_t kShared = (queries_of_tile(DIMS, WAVES) + 2 * kRing * kKeys * DIMS) * sizeof(half_bits);
  const int wave = wave_size();
  const std::string name = std::string("attention_prefill<operand=") + operand_name(O) +
                           ",cache=" + cache_name(c.type) + ",tile=" + std::to_string(WAVES * kTile) + "x" +
                           std::to_string(kKeys) + "x" + std::to_string(DIMS) +
                           ",waves=" + std::to_string(WAVES) + (in_groups(DIMS, WAVES) ? ",groups=4" : "") +
                           ",wave=" + std::to_string(wave) + ">";
  allow_shared(attention_prefill_kernel<O, DIMS, WAVES>, kShared);
  const unsigned grid = grid_for(ceil_div(c.S, WAVES * kTile) * c.H, 1, "attention_prefill");
  hipLaunchKernelGGL(HIP_KERNEL_NAME(attention_prefill_kernel<O, DIMS, WAVES>), dim3(grid),
                     dim3(WAVES * wave), kShared, stream, c);
  check_launched(name);
  return {name, kKeys};
}

// Eight waves share each tile of keys, four make blocks enough for a card of 132 multiprocessors, two a
// multiprocessor that do not wait for each other. Both give the same bits.
bool eight_waves(const Prefill& c, Tuning tuning) {
  if (!kWaveGroups || c.type == CacheType::f32) return tuning == Tuning::wide;
  return tuning == Tuning::wide && int64_t{c.S} * c.H >= int64_t{6144} * 32;
}

template <Operand O, int DIMS>
Launched launch(hipStream_t stream, const Prefill& c, Tuning tuning) {
  // Of the largest heads a card gets one build: with four waves NVIDIA's registers do not suffice.
  if constexpr (DIMS > 128 && kPlainWaves > 1) {
    return launch<O, DIMS, kWideWaves>(stream, c);
  } else {
    return eight_waves(c, tuning) ? launch<O, DIMS, kWideWaves>(stream, c)
                                  : launch<O, DIMS, kPlainWaves>(stream, c);
  }
}

template <Operand O>
Launched launch(hipStream_t stream, const Prefill& c, Tuning tuning) {
  return c.Dh <= 64    ? launch<O, 64>(stream, c, tuning)
         : c.Dh <= 128 ? launch<O, 128>(stream, c, tuning)
                       : launch<O, 256>(stream, c, tuning);
}

}  // namespace

Attested attention_prefill(hipStream_t stream, Tuning tuning, Operand operand, const float* q,
                           const void* k_cache, const void* v_cache, CacheType type, int64_t S, int64_t start,
                           int64_t H, int64_t Hkv, int64_t Dh, float* out) {
  require(q != nullptr && k_cache != nullptr && v_cache != nullptr && out != nullptr, "attention_prefill",
          "a pointer is null");
  require(S > 0 && start >= 0 && start + S <= INT32_MAX - 1024, "attention_prefill",
          "S is at least 1, start at least 0, and their sum below 2^31 - 1024");
  require_fused(H, Hkv, Dh, "attention_prefill");
  const std::string unit = matrix_unit();
  const Prefill c{q,
                  k_cache,
                  v_cache,
                  type,
                  static_cast<int>(S),
                  static_cast<int>(start),
                  static_cast<int>(H),
                  static_cast<int>(Hkv),
                  static_cast<int>(Dh),
                  log2_scale(Dh),
                  out};
  const Launched ran = operand == Operand::f16 ? launch<Operand::f16>(stream, c, tuning)
                                               : launch<Operand::bf16>(stream, c, tuning);
  const char* const rounded = operand_name(operand);
  // p·v goes through the unit by 16 keys; the lanes' sums of the denominator are shorter.
  const int64_t T = start + S, sum = ceil_div(T, kTile) * kTile;
  return {ran.name, attention_contract(rounded, rounded, {Dh, sum, ceil_div(T, ran.keys)}, unit)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
