// The block of every GEMV kernel: x to shared memory (as it is, or normed on the way), products of this
// block's rows of one to three matrices, and an epilogue that has them all at hand. Private to the gemv_ and
// fused_ files.
//
// A block takes an even share of each matrix's rows, kRows of them a unit, a unit a team of 32 lanes; where a
// block has fewer units than teams, `splits` teams share a unit's tiles. The first tiles are asked for before
// the kernel ahead in the stream has ended (dependent_launch.hpp), each later one some tiles ahead of its use
// (async_copy.hpp). K is cut into slabs of what shared memory holds. No sum depends on the number of blocks
// but through `splits`, which the contract's chain counts.
#pragma once

#include <type_traits>

#include "kernels/gemv_lane.hpp"
#include "kernels/hip/dependent_launch.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kGemvMatrices = 3;

struct GemvArgs {
  GemvMatrix m[kGemvMatrices];
  int each[kGemvMatrices] = {};  // rows of every block
  int rest[kGemvMatrices] = {};  // and one more of the first `rest` blocks
  // Or units of 16 rows of all matrices one after another; those ahead of each matrix and of the end.
  int units_each = 0, units_rest = 0, units_before[kGemvMatrices + 1] = {};
  int count = 0;
  unsigned second = 0;  // bit i: matrix i is for the second lane
  int K = 0;
  int slab = 0, splits = 1, log2_splits = 0;
  const float* x = nullptr;  // [gridDim.y, K]
  bool vector = false;       // x, the norm's weight and its output can be moved 16 bytes at a time
  const float* norm_weight = nullptr;
  float eps = 0;
  float* norm_out = nullptr;
  const float* residual = nullptr;
  float* out = nullptr;
};

// The rows of matrix i that are this block's, kUnits: by units; all matrices together have at most 2^30.
struct GemvShare {
  int64_t first;
  int rows;
};
template <bool kUnits>
__device__ __forceinline__ GemvShare gemv_share(const GemvArgs& a, int i) {
  const int block = static_cast<int>(blockIdx.x);
  if constexpr (kUnits) {
    const int begin = block * a.units_each + (block < a.units_rest ? block : a.units_rest);
    const int end = begin + a.units_each + (block < a.units_rest);
    const int before = a.units_before[i], rows = static_cast<int>(a.m[i].rows);
    const int low = (begin > before ? begin - before : 0) * 16, high = (end > before ? end - before : 0) * 16;
    const int first = low < rows ? low : rows, last = high < rows ? high : rows;
    return {first, last - first};
  }
  const bool more = block < a.rest[i];
  return {block * a.each[i] + (more ? block : a.rest[i]), a.each[i] + more};
}

namespace gemv {

// Values 4i … of x; 0 beyond K.
__device__ __forceinline__ float4 load_4(const float* x, int64_t i, int64_t K, bool vector) {
  if (vector) return i * 4 < K ? reinterpret_cast<const float4*>(x)[i] : make_float4(0, 0, 0, 0);
  float v[4];
  for (int j = 0; j < 4; ++j) v[j] = i * 4 + j < K ? x[i * 4 + j] : 0.0f;
  return make_float4(v[0], v[1], v[2], v[3]);
}

// f(i, values 4i … 4i + 3) for every i = thread, thread + step, … below `count`; the loads of kAtOnce of them
// go together, since each takes as long as many of f.
inline constexpr int kAtOnce = 4;
template <class Load, class F>
__device__ __forceinline__ void for_each_4(int thread, int step, int count, Load load, F f) {
  for (int first = thread; first < count; first += kAtOnce * step) {
    float4 v[kAtOnce] = {};
    GRETA_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j * step < count) v[j] = load(first + j * step);
    }
    GRETA_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j * step < count) f(first + j * step, v[j]);
    }
  }
}

__device__ __forceinline__ float team_sum(float v) {
  GRETA_UNROLL
  for (int mask = kTeam / 2; mask > 0; mask /= 2) v += wave_shuffle_xor(v, mask);
  return v;
}

// The smallest |x| that scaling by 2^44 could bring to infinity, with room.
inline constexpr float kHuge = power_of_two(83);

__device__ __forceinline__ bool is_huge(const float4& v) {
  return fabsf(v.x) >= kHuge || fabsf(v.y) >= kHuge || fabsf(v.z) >= kHuge || fabsf(v.w) >= kHuge;
}
__device__ __forceinline__ float4 scaled(const float4& v, float factor) {
  return make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor);
}

// 1 / sqrt(mean(x²) + eps), the same in every thread. `partial`: kTeams floats.
template <int kTeams>
__device__ __forceinline__ float norm_scale(const GemvArgs& a, float* partial) {
  const int thread = static_cast<int>(threadIdx.x);
  float own = 0;
  for_each_4(
      thread, kTeams * kTeam, (a.K + 3) / 4, [&](int i) { return load_4(a.x, i, a.K, a.vector); },
      [&](int, const float4& v) {
        own = fmaf(v.x, v.x, own), own = fmaf(v.y, v.y, own);
        own = fmaf(v.z, v.z, own), own = fmaf(v.w, v.w, own);
      });
  own = team_sum(own);
  if (thread % kTeam == 0) partial[thread / kTeam] = own;
  __syncthreads();
  float sums[kTeams];
  GRETA_UNROLL
  for (int i = 0; i < kTeams; ++i) sums[i] = partial[i];
  // Counted by ones: a loop that halves its counter is not unrolled, and the sums would lie in memory.
  GRETA_UNROLL
  for (int level = 1; level <= tree_depth(kTeams); ++level) {
    const int width = kTeams >> level;
    GRETA_UNROLL
    for (int i = 0; i < kTeams / 2; ++i) {
      if (i < width) sums[i] += sums[i + width];
    }
  }
  return 1.0f / sqrtf(sums[0] / static_cast<float>(a.K) + a.eps);
}

// A slab of x, times `factor`, in tiles, zeros up to `padded`. Says whether a value was too large for the
// factor 2^44. kNorm: x is normed on the way; the weights asked for early are in `kept`.
template <int kTeams, bool kNorm, int kKept>
__device__ __forceinline__ bool stage(const GemvArgs& a, const float* x, int64_t first, int padded,
                                      float factor, float scale, const float4 (&kept)[kKept], float4* out) {
  bool huge = false;
  const auto load = [&](int i) { return load_4(x, first / 4 + i, a.K, a.vector); };
  const auto one = [&](int i, float4 v, const float4& weight) {
    const int64_t at = first / 4 + i;
    if constexpr (kNorm) {
      v = make_float4(v.x * scale * weight.x, v.y * scale * weight.y, v.z * scale * weight.z,
                      v.w * scale * weight.w);
      if (a.norm_out && blockIdx.x == 0) {
        if (a.vector) {
          if (at * 4 < a.K) reinterpret_cast<float4*>(a.norm_out)[at] = v;
        } else {
          const float values[4] = {v.x, v.y, v.z, v.w};
          for (int j = 0; j < 4; ++j) {
            if (at * 4 + j < a.K) a.norm_out[at * 4 + j] = values[j];
          }
        }
      }
    }
    huge = huge || is_huge(v);
    out[swizzle(i)] = scaled(v, factor);
  };
  const int thread = static_cast<int>(threadIdx.x), step = kTeams * kTeam, count = padded / 4;
  const auto weight = [&](int i) { return load_4(a.norm_weight, first / 4 + i, a.K, a.vector); };
  float4 early[kKept] = {};
  GRETA_UNROLL
  for (int j = 0; j < kKept; ++j) {
    if (thread + j * step < count) early[j] = load(thread + j * step);
  }
  GRETA_UNROLL
  for (int j = 0; j < kKept; ++j) {
    const int i = thread + j * step;
    if (i < count) one(i, early[j], kNorm && first != 0 ? weight(i) : kept[j]);
  }
  for_each_4(thread + kKept * step, step, count, load,
             [&](int i, const float4& v) { one(i, v, kNorm ? weight(i) : float4{}); });
  return huge;
}

}  // namespace gemv

inline constexpr int kGemvAllRows = 1 << 30;

// The block's rows from … to - 1 of each matrix, and the threads that go through them. share(i): its rows of
// matrix i.
template <class Share>
struct GemvRows {
  Share share;
  int from, to, threads;

  // f(row of matrix i, the block's row) for those of this thread.
  template <class F>
  __device__ __forceinline__ void each(int i, const F& f) const {
    const GemvShare own = share(i);
    const int end = own.rows < to ? own.rows : to;
    GRETA_NO_UNROLL
    for (int r = from + static_cast<int>(threadIdx.x); r < end; r += threads) f(own.first + r, r);
  }
};

// The epilogue of one product.
struct StoreRow {
  static constexpr bool kApart = false, kResident = true;
  // Where the thread's first row goes.
  __device__ static float* early(const GemvArgs& a, const GemvShare& share) {
    return a.m[0].y + blockIdx.y * a.m[0].rows + share.first + threadIdx.x;
  }
  template <class Rows, class Value>
  __device__ static void run(const GemvArgs&, const Rows& rows, float* y, const Value& value) {
    rows.each(0, [&](int64_t, int r) { y[r - static_cast<int>(threadIdx.x)] = value(0, r); });
  }
};

// Tiles in shared memory at once, and the words from one row's tile to the next.
template <class A, class B>
constexpr int gemv_stages() {
#if defined(GRETA_HIP_NVIDIA)
  return A::kStages < B::kStages ? A::kStages : B::kStages;
#else
  return 2;  // 64 KB of shared memory on AMD
#endif
}
template <class A, class B>
constexpr int gemv_stride() {
  return A::Tile::kWords > B::Tile::kWords ? A::Tile::kWords : B::Tile::kWords;
}

// A: the lane of most matrices; B: of those in `second`. Epilogue::run(args, rows, early, value), value(i,
// r): the product of this block's row r of matrix i.
template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kRows, int kTeams, int kBlocks>
__global__ void __launch_bounds__(kTeams* kTeam, kBlocks) gemv_kernel(GemvArgs a) {
  static_assert(A::kTile == B::kTile && A::kSmall == B::kSmall, "lanes of one launch share x");
  constexpr int kTile = A::kTile, kKept = 2;
  constexpr int kStages = gemv_stages<A, B>(), kStride = gemv_stride<A, B>();
  constexpr bool kTwoLanes = !std::is_same_v<A, B>;

  release_successor();
  GRETA_DYNAMIC_SHARED(float4, xs);
  GRETA_SHARED(float, partial, kTeams);
  GRETA_SHARED(int, huge_in, kTeams);
  const int thread = static_cast<int>(threadIdx.x), team = thread / kTeam, lane = thread % kTeam;
  uint4* const all_words = reinterpret_cast<uint4*>(xs + a.slab / 4);
  uint4* const words = all_words + team * (kStages * kRows * kStride);
  float* const sums = reinterpret_cast<float*>(all_words + kTeams * kStages * kRows * kStride);

  int units = 0;
  GRETA_UNROLL
  for (int i = 0; i < kMatrices; ++i) {
    if (i < a.count) units += (gemv_share<false>(a, i).rows + kRows - 1) / kRows;
  }
  const int units_a_round = kTeams >> a.log2_splits, split = team & (a.splits - 1);
  const int team_unit = team >> a.log2_splits;
  const int rounds = (units + units_a_round - 1) / units_a_round;

  // The team's unit of a round: its matrix, the place of its first row among the block's sums, how many rows
  // (none where there is no unit left), and where they begin.
  struct Place {
    int matrix = 0, local = 0, rows = 0;
    const uint8_t* row[kRows];
  };
  const auto unit_of = [&](int round) {
    Place u;
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r) u.row[r] = a.m[0].data;
    int unit = round * units_a_round + team_unit, before = 0;
    GRETA_UNROLL
    for (int i = 0; i < kMatrices; ++i) {
      if (i < a.count) {
        const GemvShare share = gemv_share<false>(a, i);
        const int first = unit * kRows;
        if (unit >= 0 && first < share.rows) {
          u.rows = share.rows - first < kRows ? share.rows - first : kRows;
          u.matrix = i;
          u.local = before + first;
          u.row[0] = a.m[i].data + (share.first + first) * a.m[i].row_bytes;
          // A row that is not there: the one before again, its sum is not kept.
          GRETA_UNROLL
          for (int r = 1; r < kRows; ++r)
            u.row[r] = r < u.rows ? u.row[r - 1] + a.m[i].row_bytes : u.row[r - 1];
        }
        unit -= (share.rows + kRows - 1) / kRows;
        before += share.rows;
      }
    }
    return u;
  };

  int slab = 0, tiles = 0, steps = 0;  // of this slab: its first column, its tiles, those of a team a unit
  const auto begin_slab = [&](int first) {
    slab = first;
    tiles = ((a.K - first < a.slab ? a.K - first : a.slab) + kTile - 1) / kTile;
    steps = (tiles + a.splits - 1) >> a.log2_splits;
  };
  // What is copied next, kStages - 1 tiles ahead of what is worked on.
  AsyncCopies copies;
  Place copied;
  int copied_round = 0, copied_step = 0, slot = 0;
  const auto copy_next = [&] {
    if (copied_round < rounds) {
      if (copied_step == 0) copied = unit_of(copied_round);
      const int tile = copied_step * a.splits + split;
      if (copied.rows > 0 && tile < tiles) {
        const int k = slab + tile * kTile;
        GRETA_UNROLL
        for (int r = 0; r < kRows; ++r) {
          uint4* const to = words + (slot * kRows + r) * kStride;
          if (kTwoLanes && (a.second >> copied.matrix & 1)) {
            B::Tile::copy(copied.row[r], k, a.K - k, lane, to, copies);
          } else {
            A::Tile::copy(copied.row[r], k, a.K - k, lane, to, copies);
          }
        }
      }
      if (++copied_step == steps) copied_step = 0, ++copied_round;
    }
    copies.commit();
    slot = slot + 1 == kStages ? 0 : slot + 1;
  };
  const auto copy_first = [&] {
    copied_round = copied_step = slot = 0;
    for (int i = 0; i < kStages - 1; ++i) copy_next();
  };

  begin_slab(0);
  copy_first();
  float4 kept[kKept] = {};
  if constexpr (kNorm) {
    GRETA_UNROLL
    for (int j = 0; j < kKept; ++j)
      kept[j] = gemv::load_4(a.norm_weight, thread + j * kTeams * kTeam, a.K, a.vector);
  }
  wait_for_predecessor();

  const float* x = a.x + blockIdx.y * static_cast<int64_t>(a.K);
  const float scale = kNorm ? gemv::norm_scale<kTeams>(a, partial) : 1.0f;
  for (;;) {
    float back = 1;  // from the sums of 2^-kSmall · w · x to y
    const float factor = A::kSmall ? gemv::power_of_two(kSmallBits) : 1.0f;
    const bool huge = gemv::stage<kTeams, kNorm>(a, x, slab, tiles * kTile, factor, scale, kept, xs);
    if (A::kSmall != 0) {
      const bool any = wave_ballot(huge) != 0;
      if (lane == 0) huge_in[team] = any;
    }
    __syncthreads();
    if (A::kSmall != 0) {
      int unscaled = 0;
      GRETA_UNROLL
      for (int i = 0; i < kTeams; ++i) unscaled |= huge_in[i];
      if (unscaled) {
        gemv::stage<kTeams, kNorm>(a, x, slab, tiles * kTile, 1.0f, scale, kept, xs);
        __syncthreads();
        back = factor;
      }
    }

    int at = 0;  // the slot that is worked on
    for (int round = 0; round < rounds; ++round) {
      float own[kRows][kSums] = {};
      const Place unit = unit_of(round);
      const bool second = kTwoLanes && (a.second >> unit.matrix & 1);
      for (int step = 0; step < steps; ++step) {
        copies.wait<kStages - 2>();
        wave_sync();  // the tile is here for all, and all are done with the last one, whose slot is filled
                      // next
        copy_next();
        const int tile = step * a.splits + split;
        const bool active = unit.rows > 0 && tile < tiles;
        const int there = active ? tile : 0, k = slab + there * kTile;
        // Two teams share a wave of 64 and its collectives: there one goes through the motions with the
        // other.
        const auto add = [&]<class Lane>(bool mine) {
          if (wave_size() == kTeam ? !mine : wave_ballot(mine) == 0) return;
          float before[kRows][kSums];
          memcpy(before, own, sizeof(own));
          Lane::template add<kRows, kStride>(a.m[unit.matrix], unit.row, k, a.K - k, lane,
                                             words + at * (kRows * kStride), xs, there * (kTile / 4), own);
          if (wave_size() > kTeam && !mine) memcpy(own, before, sizeof(own));
        };
        add.template operator()<A>(active && !second);
        if constexpr (kTwoLanes) add.template operator()<B>(active && second);
        at = at + 1 == kStages ? 0 : at + 1;
      }
      GRETA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const float sum = gemv::team_sum((own[r][0] + own[r][2]) + (own[r][1] + own[r][3])) * back;
        if (lane == 0 && r < unit.rows) {
          float& total = sums[(unit.local + r) * a.splits + split];
          total = slab == 0 ? sum : total + sum;
        }
      }
    }
    if (slab + a.slab >= a.K) break;
    copies.wait<0>();
    __syncthreads();  // this slab of x is read, and so are the words
    begin_slab(slab + a.slab);
    copy_first();
  }
  __syncthreads();
  const auto share = [&](int i) { return gemv_share<false>(a, i); };
  const GemvRows<decltype(share)> all{share, 0, kGemvAllRows, kTeams * kTeam};
  Epilogue::run(a, all, Epilogue::early(a, share(0)), [&](int i, int row) {
    GRETA_UNROLL
    for (int j = 0; j < kMatrices; ++j) {
      if (j < i) row += gemv_share<false>(a, j).rows;
    }
    const float* part = sums + row * a.splits;
    if (a.splits == 1) return part[0];
    if (a.splits == 2) return part[0] + part[1];
    return (part[0] + part[1]) + (part[2] + part[3]);
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
