// The block of every GEMV kernel: x to shared memory (as it is, or normed on the way), products of this
// block's rows of one to three matrices, and an epilogue that has them all at hand. Private to the gemv_ and
// fused_ files.
//
// A block takes an even share of each matrix's rows, kRows of them a unit, a unit a team of 32 lanes; where a
// block has fewer units than teams, `splits` teams share a unit's tiles. The first tiles are asked for before
// the kernel ahead in the stream has ended (dependent_launch.hpp), later ones as soon as the registers of the
// last are read. K is cut into slabs of what shared memory holds. No sum depends on the number of blocks but
// through `splits`, which the contract's chain counts.
#pragma once

#include <type_traits>

#include "kernels/gemv_lane.hpp"
#include "kernels/hip/dependent_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kGemvMatrices = 3;

struct GemvArgs {
  GemvMatrix m[kGemvMatrices];
  int64_t each[kGemvMatrices] = {};  // rows of every block
  int rest[kGemvMatrices] = {};      // and one more of the first `rest` blocks
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

// The rows of matrix i that are this block's.
struct GemvShare {
  int64_t first;
  int rows;
};
__device__ __forceinline__ GemvShare gemv_share(const GemvArgs& a, int i) {
  const int block = static_cast<int>(blockIdx.x);
  const bool more = block < a.rest[i];
  return {block * a.each[i] + (more ? block : a.rest[i]), static_cast<int>(a.each[i]) + more};
}

namespace gemv {

// Values 4i … of x; 0 beyond K.
__device__ __forceinline__ float4 load_4(const float* x, int64_t i, int64_t K, bool vector) {
  if (vector) return i * 4 < K ? reinterpret_cast<const float4*>(x)[i] : make_float4(0, 0, 0, 0);
  float v[4];
  for (int j = 0; j < 4; ++j) v[j] = i * 4 + j < K ? x[i * 4 + j] : 0.0f;
  return make_float4(v[0], v[1], v[2], v[3]);
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
  for (int64_t i = thread; i * 4 < a.K; i += kTeams * kTeam) {
    const float4 v = load_4(a.x, i, a.K, a.vector);
    own = fmaf(v.x, v.x, own), own = fmaf(v.y, v.y, own);
    own = fmaf(v.z, v.z, own), own = fmaf(v.w, v.w, own);
  }
  own = team_sum(own);
  if (thread % kTeam == 0) partial[thread / kTeam] = own;
  __syncthreads();
  float sums[kTeams];
  GRETA_UNROLL
  for (int i = 0; i < kTeams; ++i) sums[i] = partial[i];
  GRETA_UNROLL
  for (int width = kTeams / 2; width > 0; width /= 2) {
    GRETA_UNROLL
    for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return 1.0f / sqrtf(sums[0] / static_cast<float>(a.K) + a.eps);
}

// A slab of x, times `factor`, in tiles, zeros up to `padded`. Says whether a value was too large for the
// factor 2^44. kNorm: x is normed on the way; the weights asked for early are in `kept`.
template <int kTeams, bool kNorm, int kKept>
__device__ __forceinline__ bool stage(const GemvArgs& a, const float* x, int64_t first, int padded,
                                      float factor, float scale, const float4 (&kept)[kKept], float4* out) {
  bool huge = false;
  const auto one = [&](int i, const float4& weight) {
    const int64_t at = first / 4 + i;
    float4 v = load_4(x, at, a.K, a.vector);
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
  int i = static_cast<int>(threadIdx.x);
  GRETA_UNROLL
  for (int j = 0; j < kKept; ++j, i += kTeams * kTeam) {
    if (i * 4 < padded)
      one(i, kNorm && first != 0 ? load_4(a.norm_weight, first / 4 + i, a.K, a.vector) : kept[j]);
  }
  for (; i * 4 < padded; i += kTeams * kTeam) {
    one(i, kNorm ? load_4(a.norm_weight, first / 4 + i, a.K, a.vector) : float4{});
  }
  return huge;
}

}  // namespace gemv

// A: the lane of most matrices; B: of those in `second`. Epilogue::run(args, value), value(i, r): the product
// of this block's row r of matrix i.
template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kRows, int kTeams, int kBlocks>
__global__ void __launch_bounds__(kTeams* kTeam, kBlocks) gemv_kernel(GemvArgs a) {
  static_assert(A::kTile == B::kTile && A::kSmall == B::kSmall, "lanes of one launch share x");
  constexpr int kTile = A::kTile;
  constexpr int kRaw = A::kRaw > B::kRaw ? A::kRaw : B::kRaw;
  constexpr int kScratch = A::kScratch > B::kScratch ? A::kScratch : B::kScratch;
  constexpr bool kTwoLanes = !std::is_same_v<A, B>;
  constexpr int kKept = 2;

  release_successor();
  GRETA_DYNAMIC_SHARED(float4, xs);
  GRETA_SHARED(float, partial, kTeams);
  GRETA_SHARED(int, huge_in, kTeams);
  const int thread = static_cast<int>(threadIdx.x), team = thread / kTeam, lane = thread % kTeam;
  uint4* const all_scratch = reinterpret_cast<uint4*>(xs + a.slab / 4);
  uint4* const scratch = all_scratch + team * kRows * kScratch;
  float* const sums = reinterpret_cast<float*>(all_scratch + kTeams * kRows * kScratch);

  int units = 0;
  GRETA_UNROLL
  for (int i = 0; i < kMatrices; ++i) {
    if (i < a.count) units += (gemv_share(a, i).rows + kRows - 1) / kRows;
  }
  const int units_a_round = kTeams >> a.log2_splits, split = team & (a.splits - 1);
  const int rounds = (units + units_a_round - 1) / units_a_round;

  // The team's unit: its matrix, the place of its first row among the block's sums, and a cursor a row.
  int matrix = 0, local = 0, rows = 0;
  const uint8_t* at[kRows];
  GRETA_UNROLL
  for (int r = 0; r < kRows; ++r) at[r] = a.m[0].data;
  const auto begin = [&](int round, int k) {
    int unit = round * units_a_round + (team >> a.log2_splits), before = 0;
    rows = 0;
    GRETA_UNROLL
    for (int i = 0; i < kMatrices; ++i) {
      if (i < a.count) {
        const GemvShare share = gemv_share(a, i);
        const int first = unit * kRows;
        if (unit >= 0 && first < share.rows) {
          rows = share.rows - first < kRows ? share.rows - first : kRows;
          matrix = i;
          local = before + first;
          const bool second = kTwoLanes && (a.second >> i & 1);
          at[0] = second ? B::start(a.m[i], share.first + first, k, lane)
                         : A::start(a.m[i], share.first + first, k, lane);
          // Rows that are not there: the one before again, its sum is not kept.
          for (int r = 1; r < kRows; ++r) at[r] = r < rows ? at[r - 1] + a.m[i].row_bytes : at[r - 1];
        }
        unit -= (share.rows + kRows - 1) / kRows;
        before += share.rows;
      }
    }
  };
  using Words = uint4[kRows][kRaw];
  constexpr bool kStashed = !kTwoLanes && A::kScratch > 0;  // then the words are free at once
  Words even = {}, odd = {};                                // of this tile and the next, in turn
  Words& other = kStashed ? even : odd;
  const auto load = [&](Words& raw, int k) {
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (kTwoLanes && (a.second >> matrix & 1)) {
        B::load(at[r], a.K - k, lane, raw[r]);
      } else {
        A::load(at[r], a.K - k, lane, raw[r]);
      }
    }
  };

  begin(0, split * kTile);
  if (rows > 0 && split * kTile < a.K) load(even, split * kTile);
  float4 kept[kKept] = {};
  if constexpr (kNorm) {
    GRETA_UNROLL
    for (int j = 0; j < kKept; ++j)
      kept[j] = gemv::load_4(a.norm_weight, thread + j * kTeams * kTeam, a.K, a.vector);
  }
  wait_for_predecessor();

  const float* x = a.x + blockIdx.y * static_cast<int64_t>(a.K);
  const float scale = kNorm ? gemv::norm_scale<kTeams>(a, partial) : 1.0f;
  for (int slab = 0; slab < a.K; slab += a.slab) {
    const int columns = a.K - slab < a.slab ? a.K - slab : a.slab;
    const int tiles = (columns + kTile - 1) / kTile;
    const int steps =
        ((tiles + a.splits - 1) / a.splits + 1) & ~1;  // of a team a unit: even, for two buffers
    if (slab > 0) {
      __syncthreads();  // the last slab of x is read
      begin(0, slab + split * kTile);
      if (rows > 0 && split < tiles) load(even, slab + split * kTile);
    }
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

    for (int round = 0; round < rounds; ++round) {
      float own[kRows][kSums] = {};
      const int rows_now = rows, local_now = local;
      const auto step = [&](int t, Words& raw, Words& next) {
        const int tile = t * a.splits + split, matrix_now = matrix;
        const bool active = rows_now > 0 && tile < tiles;
        const bool second = kTwoLanes && (a.second >> matrix & 1);
        const uint8_t* at_now[kRows];
        GRETA_UNROLL
        for (int r = 0; r < kRows; ++r) at_now[r] = at[r];
        if (wave_size() > kTeam || !second) A::template stash<kRows>(raw, lane, scratch);
        if constexpr (kTwoLanes) {
          if (wave_size() > kTeam || second) B::template stash<kRows>(raw, lane, scratch);
        }
        // The next words are asked for before these are worked on; one place does it, lest registers be
        // copied.
        bool more = false;
        int next_k = slab + (tile + a.splits) * kTile;
        if (t + 1 < steps) {
          more = rows_now > 0 && tile + a.splits < tiles;
          const int bytes = a.splits * (second ? B::kStep : A::kStep);
          GRETA_UNROLL
          for (int r = 0; r < kRows; ++r) at[r] += bytes;
        } else if (round + 1 < rounds) {
          next_k = slab + split * kTile;
          begin(round + 1, next_k);
          more = rows > 0 && split < tiles;
        }
        if (more) load(next, next_k);
        const int there = active ? tile : 0, k = slab + there * kTile;
        // Two teams share a wave of 64 and its collectives: there one goes through the motions with the
        // other.
        const auto add = [&]<class Lane>(bool mine) {
          if (wave_size() == kTeam ? !mine : wave_ballot(mine) == 0) return;
          float before[kRows][kSums];
          memcpy(before, own, sizeof(own));
          Lane::template add<kRows>(a.m[matrix_now], at_now, k, a.K - k, lane, raw, scratch, xs,
                                    there * (kTile / 4), own);
          if (wave_size() > kTeam && !mine) memcpy(own, before, sizeof(own));
        };
        add.template operator()<A>(active && !second);
        if constexpr (kTwoLanes) add.template operator()<B>(active && second);
      };
      for (int t = 0; t < steps; t += 2) {
        step(t, even, other);
        step(t + 1, other, even);
      }
      GRETA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const float sum = gemv::team_sum((own[r][0] + own[r][2]) + (own[r][1] + own[r][3])) * back;
        if (lane == 0 && r < rows_now) {
          float& total = sums[(local_now + r) * a.splits + split];
          total = slab == 0 ? sum : total + sum;
        }
      }
    }
  }
  __syncthreads();
  Epilogue::run(a, [&](int i, int row) {
    for (int j = 0; j < i; ++j) row += gemv_share(a, j).rows;
    const float* part = sums + row * a.splits;
    if (a.splits == 1) return part[0];
    if (a.splits == 2) return part[0] + part[1];
    return (part[0] + part[1]) + (part[2] + part[3]);
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
