// A GEMV kernel through the matrix unit for matrices so small that all of a block's rows are in shared memory
// at once, with room for another block: what gemv_parts_block.hpp does, without a ring. Private to the
// gemv_parts_ and fused_ files.
//
// Such a product takes less time for its bytes than for what comes before the first and after the last one.
// So two blocks fit a multiprocessor, in registers too: the next launch's comes in while this one's works,
// asks for its rows at the rate at which memory gives them, and has them when x is there. It is for a product
// behind others that fill the card: where multiprocessors stand empty some get two of its blocks.
//
// x's integers are read once. Where they find no room of their own they lie where the last stage's last rows
// will be: those are asked for when x has been read, a tile ahead of where they are wanted.
#pragma once

#include "kernels/gemv_parts_block.hpp"
#include "kernels/hip/wave_group.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_NVIDIA)
// About a multiprocessor's share of what memory can give: H200, 4.2 TB/s, 132 of them, 1.755 GHz. What is
// asked for faster queues up, and the x of the launch ahead behind it.
inline constexpr int kBytesACycle = 18;

template <class Lane, class Epilogue, int kWaves>
__global__ void __launch_bounds__(parts_threads<kWaves>(), 2) gemv_resident_kernel(PartsArgs args) {
  const GemvArgs& a = args.common;
  release_successor();
  GRETA_DYNAMIC_SHARED(uint4, all_words);
  GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
  const int team = wave_id();
  GRETA_SHARED(uint4, zeros, kPartsZeros);
  uint4 *const words = all_words, *const x_words = all_words + args.x_at + team * kPartsOfX;
  float* const sums = reinterpret_cast<float*>(all_words + args.sums_at);
  if (team == 0) BulkStages::begin(bars, 2, kWaves);
  if (threadIdx.x < kPartsZeros) zeros[threadIdx.x] = make_uint4(0, 0, 0, 0);
  const int across = args.each, fours = (across + 3) / 4;
  const GemvShare share = gemv_share<false>(a, 0);
  if (across % 4 != 0) {
    for (int i = static_cast<int>(threadIdx.x); i < share.rows * args.sum_pitch; i += kWaves * wave_size())
      sums[i] = 0;
  }
  __syncthreads();
  BulkStages stages(bars, kMostBulkStages);
  const int stage_rows = 1 << args.log_rows, half = kPartsRows / 2, pitch = args.pitch[0];
  const uint32_t row_bytes = static_cast<uint32_t>(a.m[0].row_bytes);
  // As PartsOrder::moved, the same for all stages.
  const int moved = (static_cast<int>(reinterpret_cast<uintptr_t>(a.m[0].data) >> 4) +
                     static_cast<int>(share.first) * pitch) &
                    7;
  const auto copy_rows = [&](int stage, int row, int rows) {
    const int64_t first = share.first + (stage << args.log_rows) + row;
    stages.copy(words + stage * args.stage_words + moved + parts_row(row, pitch, Lane::kApart),
                a.m[0].data + first * a.m[0].row_bytes, static_cast<uint32_t>(rows) * row_bytes);
  };
  const int last_stage = args.stages - 1, left_of_last = share.rows - (last_stage << args.log_rows);
  if (team < 2 * args.stages) {  // two waves a stage, a half of each tile each
    const int stage = team / 2, left = share.rows - (stage << args.log_rows),
              rows = left < stage_rows ? left : stage_rows,
              now = stage == last_stage && args.behind_x < rows ? args.behind_x : rows;
    stages.go_to(stage);
    stages.expect(static_cast<uint32_t>(rows > 0 ? rows_of_half(rows, team % 2) : 0) * row_bytes);
    const unsigned pause = static_cast<unsigned>(team * (stage_rows / 2)) * row_bytes / kBytesACycle,
                   begin = static_cast<unsigned>(clock());
    while (static_cast<unsigned>(clock()) - begin < pause) {
    }
    GRETA_NO_UNROLL
    for (int row = team % 2 * half; row < now; row += kPartsRows)
      copy_rows(stage, row, now - row < half ? now - row : half);
    if (now < rows && team % 2 == 1)
      BulkStages::bring_near(a.m[0].data + (share.first + (stage << args.log_rows) + now) * a.m[0].row_bytes,
                             static_cast<uint32_t>(rows - now) * row_bytes);
  }

  const PartsMap map;
  const int group = team * args.across_inverse >> 16, column = team - group * across,
            above = group * kPartsRows;
  const bool works = group < args.groups && above < share.rows;
  const int thread = static_cast<int>(threadIdx.x);
  const auto early = Epilogue::early(a, share);
  using Early = std::remove_const_t<decltype(early)>;
  GRETA_SHARED(Early, kept_early, parts_threads<kWaves>());  // registers are few
  kept_early[thread] = early;
  int byte = column * Lane::kBytes;
  const uint4* const tile = words + moved + parts_row(above, pitch, Lane::kApart) + byte / 16;
  byte %= 16;
  BulkStages read(bars, kMostBulkStages);
  typename Lane::Factors factors;
  const float4* const x = ready(
      reinterpret_cast<const float4*>(a.x + blockIdx.y * static_cast<int64_t>(a.K) + column * kPartsBlock) +
      map.lane * 2);
  gemv::LaneOfX lane_of_x(map, x_words);
  lane_of_x.settle();
  PartsPlaceOfX place_of_x = Lane::place_of_x(map, x_words, zeros);
  place_of_x.settle();
  PartsRows tile_rows = Lane::rows_of(map, tile, pitch);
  tile_rows.settle();
  float* own_sum = settled(sums + (above + Lane::tile_row(map.row_of_sum(0))) * args.sum_pitch + column);
  wait_for_predecessor();
  float4 v[1][2] = {};
  if (works) v[0][0] = x[0], v[0][1] = x[1];
  PartsOfX of_x;
  float back = 0;
  if (works) {
    // While x is on its way.
    read.wait_full_once();
    factors = Lane::factors(map, tile_rows);
    gemv::DigitSums digits[1];
    gemv::make_integers<Lane::kMinima>(v, lane_of_x, digits);
    wave_sync();
    Lane::load_x(place_of_x, of_x);
    if constexpr (Lane::kMinima) {
      gemv::store_sums(map, digits, lane_of_x);
    } else {
      back = *lane_of_x.back;
    }
    wave_sync();
  }
  if constexpr (!Lane::kMinima) {
    if (args.behind_x < left_of_last) {
      shared_written();
      __syncthreads();
      if (team == kWaves - 1) {
        stages.go_to(last_stage);
        copy_rows(last_stage, args.behind_x, left_of_last - args.behind_x);
      }
    }
  }
  if (works) {
    const float* const sums_of_x = lane_of_x.back - 8;
    GRETA_NO_UNROLL
    for (;;) {  // all rows that a stage has room for: of those that are not there nobody asks
      float sum[kMostSums];
      Lane::multiply_32(map, tile_rows, byte, factors, of_x, sums_of_x, sum);
      const PartsRowSum own = gemv::sum_of_row(map, sum);
      if (own.mine) *own_sum = own.sum * (Lane::kMinima ? sums_of_x[8] : back);
      if (read.slot() == args.stages) break;
      read.wait_full_once();
      own_sum += stage_rows * args.sum_pitch;
      tile_rows.advance(args.stage_words);
      factors = Lane::factors(map, tile_rows);
    }
  }
  __syncthreads();
  const auto all = [&](int) { return share; };
  const GemvRows<decltype(all)> rows{all, 0, kGemvAllRows, kWaves * wave_size()};
  Epilogue::run(a, rows, kept_early[thread],
                [&](int, int row) { return gemv::sum_of_waves<kWaves>(sums + row * args.sum_pitch, fours); });
}
#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
