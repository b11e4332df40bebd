// Host side of the GEMV kernels through the matrix unit: which matrices they take, how rows and items are
// shared out, and what that makes of the contract. Private to the gemv_parts_ and fused_ files.
#pragma once

#include "kernels/gemv_launch.hpp"
#include "kernels/gemv_parts_block.hpp"
#include "kernels/gemv_resident.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_NVIDIA)  // two resident blocks have 113 KB each, 5 of them for what is static
inline constexpr int kPartsWaves = 16, kPartsShared = 225 * 1024, kResidentShared = 108 * 1024;
#else  // elsewhere 64 KB
inline constexpr int kPartsWaves = 4, kPartsShared = 63 * 1024, kResidentShared = 0;
#endif
inline constexpr int kPartsColumns = kBulkStages ? kPartsWaves - 2 : kPartsWaves;  // of several chunks
inline constexpr int kPartsStages = kMostBulkStages;                               // at most
inline constexpr int kPartsRoundRows = 256;                                        // of all matrices, about

namespace gemv_parts {

// Rows are whole words of 16 bytes: Q4_K of any size, Q6_K of a multiple of 2048 columns.
inline bool has_lane(const Weight& w) {
  return (w.type == WeightType::q4_K || w.type == WeightType::q6_K) && gemv::aligned_16(w.data) &&
         row_bytes(w.type, w.columns) % 16 == 0;
}
// Whether the matrices are such, and vectors can be read 16 bytes at a time (none: null).
inline bool takes(std::span<const Projection> projections, std::initializer_list<const float*> vectors) {
  for (const Projection& p : projections)
    if (!has_lane(p.w)) return false;
  for (const float* v : vectors)
    if (!gemv::aligned_16(v)) return false;
  return true;
}

// Words from one row of a stage to the next: as in memory but for multiples of 8, so that copies keep their
// places within 128 bytes (PartsOrder::moved). Rows of a chunk may begin within a word, and a shift reads a
// word behind them; where too many rows would begin in the same banks for that, an odd number.
template <class Lane>
int pitch(int columns, int blocks) {
  const int row = static_cast<int>(row_bytes(Lane::kType, columns) / 16);
  if (blocks * kPartsBlock == columns) return row;
  const int least = (blocks * Lane::kBytes + (Lane::Tile::kSkewed ? 15 + 4 : 0) + 15) / 16;
  return Lane::Tile::kSkewed && row % 4 == 0 ? least | 1 : least + ((row - least) & 7);
}

struct Plan {
  PartsArgs args;
  unsigned blocks = 1;
  size_t shared_bytes = 0;
  std::string name, contract, norm_contract;
};

// Whether small matrices have gemv_resident_kernel.
template <class A, class B, class Epilogue>
constexpr bool kResident = (kResidentShared > 0 && Epilogue::kResident && std::is_same_v<A, B>);

// Makes the plan one for gemv_resident_kernel if the block's rows, `stages` of them, have room.
template <class Lane>
void make_resident(Plan& p, int stages) {
  PartsArgs& args = p.args;
  const int of_stages = stages * args.stage_words, of_x = kPartsWaves * kPartsOfX,
            of_sums = (stages << args.log_rows) * args.sum_pitch / 4;
  args.x_at = of_stages;
  if ((of_stages + of_x + of_sums) * 16 > kResidentShared && !Lane::kMinima && stages > 1 &&
      args.groups == 1) {
    args.x_at = of_stages - of_x;
    args.behind_x = std::max(args.stage_words - of_x - 7, 0) / args.pitch[0];
  }
  args.sums_at = std::max(of_stages, args.x_at + of_x);
  const int words = args.sums_at + of_sums;
  if (words * 16 > kResidentShared) return;
  args.resident = true, args.stages = stages;
  p.shared_bytes = static_cast<size_t>(words) * 16;
}

// `op`: the kernel's name without its types and numbers.
template <class A, class B, class Epilogue>
Plan plan(const char* op, std::span<const Projection> projections, const float* x, const float* norm_weight) {
  Plan p;
  GemvArgs& a = p.args.common;
  a.count = static_cast<int>(projections.size());
  require(projections[0].w.columns <= (1 << 30), op, "a row of more than 2^30 values");
  a.K = static_cast<int>(projections[0].w.columns);
  a.x = x;
  a.norm_weight = norm_weight;

  const auto [rows, types] = gemv::all_of(op, projections);
  // Tiles side by side, chunk by chunk; below each other where K has few blocks.
  const int across_all = a.K / kPartsBlock;
  p.args.chunks = across_all <= kPartsWaves ? 1 : static_cast<int>(ceil_div(across_all, kPartsColumns));
  p.args.each = across_all / p.args.chunks, p.args.more = across_all % p.args.chunks;
  const int across = p.args.each + (p.args.more > 0);
  p.args.across_inverse = (65536 + across - 1) / across;
  while (p.args.groups * 2 * across <= kPartsWaves) p.args.groups *= 2, ++p.args.log_rows;
  const int stage_rows = kPartsRows * p.args.groups;

  const int64_t blocks = std::min<int64_t>(device_processors(), rows);
  p.blocks = grid_for(blocks, 1, op);
  gemv::share_out<A, B>(a, projections, blocks);
  int64_t most = 0, units = 0;  // rows of a matrix in a block, units of all
  for (int i = 0; i < a.count; ++i) {
    a.units_before[i] = static_cast<int>(units);
    units += ceil_div(projections[i].w.rows, kPartsRows);
    most = std::max(most, ceil_div(projections[i].w.rows, blocks));
  }
  if (Epilogue::kApart) {
    a.units_before[a.count] = static_cast<int>(units);
    a.units_each = static_cast<int>(units / blocks), a.units_rest = static_cast<int>(units % blocks);
    most = ceil_div(units, blocks) * kPartsRows;
  }
  p.args.round_rows = std::max(kPartsRoundRows / a.count / stage_rows, 1) * stage_rows;
  p.args.rounds = static_cast<int>(ceil_div(most, p.args.round_rows));
  p.args.sum_rows = a.count * static_cast<int>(std::min<int64_t>(p.args.round_rows, most));
  p.args.sum_pitch = 4 * (ceil_div(across, 4) | 1);  // odd, so that neighbours begin in other banks

  p.args.whole = p.args.chunks == 1;
  p.args.fillers = !p.args.whole && p.args.rounds == 1 && !norm_weight;
  const int lanes_pitch[2] = {gemv_parts::pitch<A>(a.K, across), gemv_parts::pitch<B>(a.K, across)};
  std::copy_n(lanes_pitch, 2, p.args.pitch);
  // They begin at multiples of 128 bytes; rows may be moved by up to 7 words, and a shift may read behind
  // them.
  p.args.stage_words =
      (parts_row(stage_rows, std::max(lanes_pitch[0], lanes_pitch[1]), std::max(A::kApart, B::kApart)) + 8 +
       7) /
      8 * 8;
  const size_t sums = static_cast<size_t>(p.args.rounds > 1 ? 2 : 1) *
                      static_cast<size_t>(p.args.sum_rows * p.args.sum_pitch) * sizeof(float);
  p.args.held = p.args.chunks > 1 ? 2 : 1;
  const size_t without_stages =
      kPartsWaves * (static_cast<size_t>(p.args.held) * kPartsOfX + parts_own_words<A, B>()) * sizeof(uint4) +
      sums;
  const size_t stage = kBulkStages ? static_cast<size_t>(p.args.stage_words) * sizeof(uint4) : 0;
  p.args.stages = kPartsStages;
  while (p.args.stages > 2 && without_stages + static_cast<size_t>(p.args.stages) * stage > kPartsShared)
    --p.args.stages;
  p.shared_bytes = without_stages + static_cast<size_t>(p.args.stages) * stage;
  if constexpr (kResident<A, B, Epilogue>) {
    const int64_t all = ceil_div(most, stage_rows);
    if (a.count == 1 && !norm_weight && p.args.whole && all <= kPartsStages)
      gemv_parts::make_resident<A>(p, static_cast<int>(all));
  }

  // Additions of a tile, a wave's tiles of a row, the waves four by four. The sums of x are exact but for one
  // rounding.
  const int wave = wave_size();
  const int of_waves = across == 1 ? 0 : 1 + static_cast<int>(ceil_div(across, 4));
  const int sum = std::max(A::kAdds, B::kAdds) + (p.args.chunks - 1) + of_waves;
  p.contract = "op=matmul x=i32 w=parts acc=i32 sum=" + std::to_string(sum) + " out=f32";
  const int64_t own = ceil_div(across_all, kPartsWaves) * (kPartsBlock / wave);
  p.norm_contract =
      "op=rmsnorm chain=" + std::to_string(own + tree_depth(wave) + kPartsWaves - 1) + " sqrt=2";
  p.name = op + std::string(std::string_view(op).starts_with("matmul") ? "_" : "_mfma_gemv_") + types +
           "<parts,rows=" + std::to_string(stage_rows) + ",waves=" + std::to_string(kPartsWaves) +
           ",chunks=" + std::to_string(p.args.chunks) + ",rounds=" + std::to_string(p.args.rounds) +
           ",stages=" + std::to_string(kBulkStages ? p.args.stages : 1) +
           (p.args.resident ? ",resident" : "") + ",wave=" + std::to_string(wave) + ">";
  return p;
}

template <class A, class B, class Epilogue, int kMatrices, bool kNorm>
void launch(hipStream_t stream, const Plan& p, unsigned rows_of_x) {
#if defined(GRETA_HIP_NVIDIA)
  if constexpr (kResident<A, B, Epilogue> && kMatrices == 1 && !kNorm) {
    if (p.args.resident) {
      launch_dependent(p.name.c_str(), gemv_resident_kernel<A, Epilogue, kPartsWaves>,
                       dim3(p.blocks, rows_of_x), dim3(static_cast<unsigned>(kPartsWaves * wave_size())),
                       p.shared_bytes, stream, p.args);
      check_launched(p.name);
      return;
    }
  }
#endif
  launch_dependent(p.name.c_str(), gemv_parts_kernel<A, B, Epilogue, kMatrices, kNorm, kPartsWaves>,
                   dim3(p.blocks, rows_of_x), dim3(static_cast<unsigned>(kPartsWaves * wave_size())),
                   p.shared_bytes, stream, p.args);
  check_launched(p.name);
}

// Calls f.template operator()<A, B>() with the lanes for these matrices, which takes() said yes to.
template <class F>
auto with_lanes(std::span<const Projection> projections, F f) {
  using Four = PartsLane<WeightType::q4_K>;
  using Six = PartsLane<WeightType::q6_K>;
  bool one_type = true;
  for (const Projection& p : projections) one_type = one_type && p.w.type == projections[0].w.type;
  const bool four = projections[0].w.type == WeightType::q4_K;
  if (one_type) return four ? f.template operator()<Four, Four>() : f.template operator()<Six, Six>();
  return four ? f.template operator()<Four, Six>() : f.template operator()<Six, Four>();
}

}  // namespace gemv_parts

}  // namespace greta::kernels::inline GRETA_MACHINE
