// Host side of the GEMV kernels: which lanes take which matrices, how the rows are shared out, and what that
// makes of the contract. Private to the gemv_ and fused_ files.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_lane_k.hpp"
#include "kernels/gemv_lane_plain.hpp"
#include "kernels/gemv_lane_staged.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Columns of x in shared memory at once (a multiple of every tile), and teams of a block: two blocks' worth
// on a multiprocessor of NVIDIA's 228 KB, one on AMD's 64 KB; on the host machine small, so that few columns
// already make a second slab and few rows a second round.
#if defined(GRETA_HIP_NVIDIA)
inline constexpr int kGemvSlab = 14336, kGemvTeams = 16;
#elif defined(GRETA_HIP_AMD)
inline constexpr int kGemvSlab = 4096, kGemvTeams = 4;
#else
inline constexpr int kGemvSlab = 4096, kGemvTeams = 4;
#endif
inline constexpr int kGemvBlocks = 1;                 // of a multiprocessor
inline constexpr int kGemvManyRows = 8 * kGemvTeams;  // of a block: from here on two rows a unit
inline constexpr int kGemvLocalRows = 2048;           // at most, of a block
inline constexpr int kGemvSplits = 4;                 // at most

namespace gemv {

inline bool aligned_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// The type's own lane can take this matrix.
inline bool has_lane(const Weight& w) {
  switch (w.type) {
    case WeightType::f32:
    case WeightType::f16:
    case WeightType::bf16:
      return aligned_16(w.data) && row_bytes(w.type, w.columns) % 16 == 0;
    case WeightType::q4_K:
    case WeightType::q5_K:
      return aligned_16(w.data);
    case WeightType::q8_0:
    case WeightType::q4_0:
    case WeightType::q6_K:
      return aligned_16(w.data) && w.rows * row_bytes(w.type, w.columns) % 16 == 0;
  }
  return false;
}

// The type that A stands for, in names.
template <class Lane>
inline constexpr const char* lane_name = "any";
template <WeightType T>
inline constexpr const char* lane_name<GemvLane<T>> = packing(T).name;

struct Plan {
  GemvArgs args;
  unsigned blocks = 1;
  size_t shared_bytes = 0;
  int64_t chain = 0;
  std::string name;
};

// Rows of all matrices, and their types' names.
struct Matrices {
  int64_t rows = 0;
  std::string types;
};
inline Matrices all_of(const char* op, std::span<const Projection> projections) {
  Matrices all;
  for (const Projection& projection : projections) {
    all.rows += projection.w.rows;
    all.types += (all.types.empty() ? "" : "+") + std::string(packing(projection.w.type).name);
  }
  require(all.rows <= (1 << 30), op, "more than 2^30 rows");
  return all;
}

// The matrices, each one's rows shared out evenly among the blocks, and who is for the second lane.
template <class A, class B>
void share_out(GemvArgs& a, std::span<const Projection> projections, int64_t blocks) {
  for (int i = 0; i < a.count; ++i) {
    const Weight& w = projections[i].w;
    a.m[i] = {static_cast<const uint8_t*>(w.data), w.rows, row_bytes(w.type, w.columns), w.type,
              projections[i].y};
    a.each[i] = static_cast<int>(w.rows / blocks);
    a.rest[i] = static_cast<int>(w.rows % blocks);
    if (!std::is_same_v<A, B> && w.type != projections[0].w.type) a.second |= 1u << i;
  }
}

// `op`: the kernel's name without its types and numbers.
template <class A, class B, int kRows, int kTeams, int kBlocks>
Plan plan(const char* op, std::span<const Projection> projections, const float* x, const float* norm_weight,
          const float* norm_out) {
  Plan p;
  GemvArgs& a = p.args;
  a.count = static_cast<int>(projections.size());
  require(projections[0].w.columns <= (1 << 30), op, "a row of more than 2^30 values");
  a.K = static_cast<int>(projections[0].w.columns);
  a.x = x;
  a.vector = a.K % 4 == 0 && aligned_16(x) && aligned_16(norm_weight) && aligned_16(norm_out);
  a.norm_weight = norm_weight;
  constexpr int64_t kTileStep = 2048;  // a multiple of every lane's tile
  static_assert(kTileStep % A::kTile == 0 && kGemvSlab % kTileStep == 0);
  a.slab = static_cast<int>(std::min<int64_t>(kGemvSlab, ceil_div(a.K, kTileStep) * kTileStep));

  const auto [rows, types] = all_of(op, projections);
  // One block a multiprocessor; more where a block could not keep the sums of all its rows.
  const int64_t blocks = std::max<int64_t>(std::min<int64_t>(kBlocks * device_processors(), rows),
                                           ceil_div(rows, kGemvLocalRows - kGemvMatrices));
  p.blocks = grid_for(blocks, 1, op);
  share_out<A, B>(a, projections, blocks);
  int64_t local = 0, units = 0;
  for (const Projection& projection : projections) {
    local += ceil_div(projection.w.rows, blocks);
    units += ceil_div(ceil_div(projection.w.rows, blocks), kRows);
  }
  const int64_t tiles = ceil_div(std::min<int64_t>(a.K, a.slab), A::kTile);
  while (a.splits < kGemvSplits && a.splits * 2 <= tiles && units * a.splits * 2 <= kTeams) a.splits *= 2;
  a.log2_splits = tree_depth(a.splits);

  p.shared_bytes =
      static_cast<size_t>(a.slab) * sizeof(float) +
      static_cast<size_t>(kTeams) * kRows * gemv_stages<A, B>() * gemv_stride<A, B>() * sizeof(uint4) +
      static_cast<size_t>(local * a.splits) * sizeof(float);
  // A lane's own sums, the tree over them, the team's, the slabs' and the splits'.
  p.chain = ceil_div(tiles, a.splits) * (A::kTile / kTeam / kSums) + tree_depth(kSums) + tree_depth(kTeam) +
            (ceil_div(a.K, a.slab) - 1) + tree_depth(a.splits);
  // Unit and shape stand in the name, as the route of a suite's arm is held against what ran.
  p.name = op + std::string(std::string_view(op).starts_with("matmul") ? "_" : "_valu_gemv_") + types +
           "<lane=" + lane_name<A> +
           (std::is_same_v<A, B> ? "" : std::string("|") + lane_name<B>)+",rows=" + std::to_string(kRows) +
           ",teams=" + std::to_string(kTeams) + ",splits=" + std::to_string(a.splits) +
           ",slab=" + std::to_string(a.slab) + ">";
  return p;
}

template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kRows, int kTeams, int kBlocks>
void launch(hipStream_t stream, const Plan& p, unsigned rows_of_x) {
  launch_dependent(p.name.c_str(), gemv_kernel<A, B, Epilogue, kMatrices, kNorm, kRows, kTeams, kBlocks>,
                   dim3(p.blocks, rows_of_x), dim3(kTeams * kTeam), p.shared_bytes, stream, p.args);
  check_launched(p.name);
}

// Calls f.template operator()<A, B, kRows>(): rows of a unit, and lanes that can take all the matrices: the
// type's own where all are of one type, Q4_K's and Q6_K's together (a Q4_K_M file's layers have both), else
// the lane of any type.
template <class F>
auto with_lanes(std::span<const Projection> projections, F f) {
  bool own = true, one_type = true, fours_and_sixes = true;
  int64_t rows = 0;
  for (const Projection& p : projections) {
    own = own && has_lane(p.w);
    one_type = one_type && p.w.type == projections[0].w.type;
    fours_and_sixes = fours_and_sixes && (p.w.type == WeightType::q4_K || p.w.type == WeightType::q6_K);
    rows += p.w.rows;
  }
  // Two rows share what is read of x; but where a block has few rows, one each keeps more teams at work.
  const bool many = rows >= int64_t{kGemvManyRows} * device_processors();
  const auto lanes = [&]<class A, class B>() {
    return many ? f.template operator()<A, B, 2>() : f.template operator()<A, B, 1>();
  };
  if (own && one_type) {
    return with_weight_type(projections[0].w.type, [&]<WeightType T>() {
      return lanes.template operator()<GemvLane<T>, GemvLane<T>>();
    });
  }
  if (own && fours_and_sixes) {
    using Four = GemvLane<WeightType::q4_K>;
    using Six = GemvLane<WeightType::q6_K>;
    // One row a unit: with two rows of two types the registers do not suffice.
    return projections[0].w.type == WeightType::q4_K ? f.template operator()<Four, Six, 1>()
                                                     : f.template operator()<Six, Four, 1>();
  }
  return f.template operator()<GemvLaneAny, GemvLaneAny, 1>();
}

// Of the row mean of norm_scale(): a thread's own squares, its team's tree, the tree over teams.
template <int kTeams>
int64_t norm_chain(int64_t K) {
  return ceil_div(ceil_div(K, 4), kTeams * kTeam) * 4 + tree_depth(kTeam) + tree_depth(kTeams);
}

}  // namespace gemv

}  // namespace greta::kernels::inline GRETA_MACHINE
