// The block of every GEMV kernel through the matrix unit: products of this block's rows of one to three
// matrices with x, as it is or normed on the way, and an epilogue that has them all at hand. Private to the
// gemv_parts_ and fused_ files.
//
// A wave's work is a tile: 16 rows of a matrix and a block of 256 columns. A stage is a tile for every wave:
// the columns are cut into chunks of at most as many blocks as there are waves (less two, that fill, where
// there are several chunks), and where K has fewer, several units of 16 rows lie one below the other. A wave
// makes its blocks of x into integers, those of two chunks at once; chunk by chunk it keeps one in registers
// and goes through the rows. A block with many rows takes them in rounds, so that the waves' sums have room.
//
// Where the machine can copy in bulk (hip/bulk_stages.hpp) the last two waves fill the stages that there is
// room for, a half of each tile each: one before the kernel ahead in the stream has ended
// (dependent_launch.hpp), the others when x is asked for: what is asked for later waits behind them. Those
// after them are theirs as well if they have no tile; else pairs of waves take turns. Rows of a chunk are
// copied one by one, which takes the two waves as long as it takes memory: they have a loop of their own.
// Elsewhere each wave copies its own tiles. The waves meet when the stages may be filled, for the norm and at
// the end of a round. Small matrices have a kernel of their own: gemv_resident.hpp.
//
// What a launch costs beside its bytes is what one wave does after another before the first byte is asked for
// and after the last: few instructions there are worth more than in the middle.
#pragma once

#include <type_traits>

#include "kernels/gemv_parts_stages.hpp"
#include "kernels/gemv_parts_x.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_NVIDIA)
inline constexpr int kPartsWave = 32;  // at most
#else
inline constexpr int kPartsWave = kMaxWave;
#endif

template <int kWaves>
constexpr int parts_threads() {
  return kWaves * kPartsWave;
}
// Words of a tile that a wave copies for itself.
template <class A, class B>
constexpr int parts_own_words() {
  return kBulkStages
             ? 0
             : parts_row(kPartsRows, A::Tile::kWords > B::Tile::kWords ? A::Tile::kWords : B::Tile::kWords,
                         A::kApart > B::kApart ? A::kApart : B::kApart);
}

// A row's sum over the lanes that share it; `mine` of one lane a row.
struct PartsRowSum {
  float sum;
  int row;
  bool mine;
};

namespace gemv {

__device__ __forceinline__ PartsRowSum sum_of_row(const PartsMap& map, const float (&sum)[kMostSums]) {
  const int lane = map.lane;
  if (wave_size() == 32)  // two lanes share a row
    return {sum[0] + wave_shuffle_xor(sum[0], 2), map.row_of_sum(0), lane % 4 < 2};
  // 16 lanes share four rows, every fourth of them has sums.
  const int kept = lane / 4 % 4;
  float own = 0;
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) {
    float all = sum[i];
    all += wave_shuffle_xor(all, 4);
    all += wave_shuffle_xor(all, 8);
    if (i == kept) own = all;
  }
  return {own, map.row_of_sum(kept), lane % 4 == 0};
}

// Of a row's sums, `fours` times four of them.
template <int kWaves>
__device__ __forceinline__ float sum_of_waves(const float* sums, int fours) {
  const float4* const own = reinterpret_cast<const float4*>(sums);
  float4 of_waves[kWaves / 4];  // all asked for before the first is used
  GRETA_UNROLL
  for (int four = 0; four < kWaves / 4; ++four) of_waves[four] = own[four < fours ? four : 0];
  float sum = 0;
  GRETA_UNROLL
  for (int four = 0; four < kWaves / 4; ++four) {
    const float4& v = of_waves[four];
    if (four < fours) sum += (v.x + v.y) + (v.z + v.w);
  }
  return sum;
}

}  // namespace gemv

// A: the lane of most matrices; B: of those in `second`. Epilogue::kResident: small matrices are
// gemv_resident_kernel's; kApart: each matrix's rows are taken by themselves, so that the units of all can be
// shared out together; early(args, share): what a thread's first row of the first matrix wants, asked for
// when x is; run(args, rows, early, value), value(i, r): the product of this block's row r of matrix i.
template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kWaves>
__global__ void __launch_bounds__(parts_threads<kWaves>()) gemv_parts_kernel(PartsArgs args) {
  const GemvArgs& a = args.common;
  release_successor();
  GRETA_DYNAMIC_SHARED(uint4, all_words);
  GRETA_SHARED(float, squares_of_wave, kWaves);
  GRETA_SHARED(uint4, zeros, kPartsZeros);
  if (threadIdx.x < kPartsZeros) zeros[threadIdx.x] = make_uint4(0, 0, 0, 0);
  const int team = wave_id(), lane = lane_id();
  uint4* const words = all_words + kWaves * args.held * kPartsOfX;
  // The wave's place in a stage.
  const int across = args.each + (args.more > 0), group = team * args.across_inverse >> 16,
            column = team - group * across;
  GRETA_SHARED(PartsShare, shares, kMatrices);
  const PartsOrder<A, B, kMatrices, Epilogue::kApart> order{args, shares};
#if defined(GRETA_HIP_NVIDIA)
  GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
  if (team == kWaves - 1) {
    order.begin();
    BulkStages::begin(bars, 2, args.fillers ? kWaves - 2 : kWaves);
  }
  float* const all_sums = reinterpret_cast<float*>(words + args.stages * args.stage_words);
#else
  if (team == 0) order.begin();
  uint4* const own_words = words + team * parts_own_words<A, B>();
  float* const all_sums = reinterpret_cast<float*>(words + kWaves * parts_own_words<A, B>());
#endif
  uint4* const own_x = all_words + team * args.held * kPartsOfX;

  const int lane_slots = kPartsSlots / wave_size();
  const auto slot_of = [&](int block, int j) { return block * kPartsSlots + lane * lane_slots + j; };
  const auto load_block = [&](const float* values, int block, float4(&v)[2]) {
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j)
      if (j < lane_slots) v[j] = reinterpret_cast<const float4*>(values)[slot_of(block, j)];
  };
  // x is made into integers two blocks at a time, which hide each other's waiting; the first two are asked
  // for as soon as may be, the next ones when the registers are free again. A block that is not there is
  // zeros.
  const bool works = group < args.groups;
  const bool of_two = args.held > 1;
  const auto load_pair = [&](const float* values, int chunk, float4(&v)[2][2]) {
    GRETA_UNROLL
    for (int i = 0; i < 2; ++i) {
      v[i][0] = v[i][1] = make_float4(0, 0, 0, 0);
      if (works && i < args.held && chunk + i < args.chunks && column < order.blocks(chunk + i))
        load_block(values, order.first_block(chunk + i) + column, v[i]);
    }
  };
  float4 weights[2][2];
  if (kNorm) load_pair(a.norm_weight, 0, weights);
  const float* x = a.x + blockIdx.y * static_cast<int64_t>(a.K);
  float4 pair[2][2];
  // A row's sums are read four at a time: those of no wave are zero.
  const int round_sums = args.sum_rows * args.sum_pitch, fours = (across + 3) / 4;
  if (across % 4 != 0) {
    const int threads = kWaves * wave_size(), all = (args.rounds > 1 ? 2 : 1) * round_sums;
    for (int i = static_cast<int>(threadIdx.x); i < all; i += threads) all_sums[i] = 0;
  }
  __syncthreads();
#if defined(GRETA_HIP_NVIDIA)
  // The last two waves fill what there is room for, and the rest if they have no tile.
  const bool last = team >= kWaves - 2, in_turns = ((kWaves - 2) * args.across_inverse >> 16) < args.groups,
             fills_all = last && !in_turns;
  const bool filler = !kNorm && args.fillers && last;
  if (filler) {  // which is quicker than to take part in what follows
    order.fill_all(team % 2, words, bars);
  } else if (last) {
    order.fill(0, team % 2, words, bars);
  }
#endif
  const PartsMap map;
  wait_for_predecessor();
  load_pair(x, 0, pair);
  const auto early = Epilogue::early(a, order.share(0));
#if defined(GRETA_HIP_NVIDIA)
  BulkStages stages(bars, args.stages);
  if (last && !filler) {
    GRETA_NO_UNROLL
    for (int stage = 1; stage < args.stages; ++stage) order.fill(stage, team % 2, words, bars);
  }
  int stage = 0;
#endif
  float scale = 1;
  const auto norm = [&](float4(&v)[2], const float4(&w)[2]) {
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j)
      v[j] = make_float4(v[j].x * scale * w[j].x, v[j].y * scale * w[j].y, v[j].z * scale * w[j].z,
                         v[j].w * scale * w[j].w);
  };
  if constexpr (kNorm) {
    const int blocks = a.K / kPartsBlock;
    float own = 0;
    const auto add_squares = [&](const float4(&v)[2]) {
      GRETA_UNROLL
      for (int j = 0; j < 2; ++j) {
        own = fmaf(v[j].x, v[j].x, own), own = fmaf(v[j].y, v[j].y, own);
        own = fmaf(v[j].z, v[j].z, own), own = fmaf(v[j].w, v[j].w, own);
      }
    };
    if (args.chunks <= args.held) {  // the first group has all of x
      if (group == 0) add_squares(pair[0]);
      if (group == 0 && of_two) add_squares(pair[1]);
    } else {
      for (int b = team; b < blocks; b += kWaves) {
        float4 v[2] = {};
        load_block(x, b, v);
        add_squares(v);
      }
    }
    own = gemv::over_lanes(own, [](float p, float q) { return p + q; });
    if (lane == 0) squares_of_wave[team] = own;
    __syncthreads();
    float sum = squares_of_wave[0];
    GRETA_UNROLL
    for (int i = 1; i < kWaves; ++i) sum += squares_of_wave[i];
    scale = 1.0f / sqrtf(sum / static_cast<float>(a.K) + a.eps);
    if (a.norm_out && blockIdx.x == 0) {
      for (int b = team; b < blocks; b += kWaves) {
        float4 v[2] = {}, w[2] = {};
        load_block(x, b, v), load_block(a.norm_weight, b, w);
        norm(v, w);
        GRETA_UNROLL
        for (int j = 0; j < 2; ++j)
          if (j < lane_slots) reinterpret_cast<float4*>(a.norm_out)[slot_of(b, j)] = v[j];
      }
    }
    norm(pair[0], weights[0]);
    if (of_two) norm(pair[1], weights[1]);
  }

  const gemv::LaneOfX lane_of_x(map, own_x);
  const auto make = [&]<int kBlocks>(const float4(&v)[kBlocks][2]) {
    gemv::DigitSums digits[kBlocks];
    gemv::make_integers<A::kMinima || B::kMinima>(v, lane_of_x, digits);
    if constexpr (A::kMinima || B::kMinima) gemv::store_sums(map, digits, lane_of_x);
  };
  PartsOfX of_x{};
  const int stage_rows = 1 << args.log_rows, above = group * kPartsRows;  // a stage's; above the wave's
  for (int round = 0; round < args.rounds; ++round) {
    // Two rounds' sums: the waves that write the next ones need not wait for those that read these.
    float* const sums = all_sums + (round & 1) * round_sums;
#if defined(GRETA_HIP_NVIDIA)
    const int chunks = filler ? 0 : args.chunks;
#else
    const int chunks = args.chunks;
#endif
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const bool mine = works && column < order.blocks(chunk);
      uint4* const x_words = own_x + (of_two ? chunk & 1 : 0) * kPartsOfX;
      if (works && (of_two ? chunk % 2 == 0 : round == 0)) {
        if constexpr (kNorm) {  // which has no registers for what comes next
          if (round > 0 || chunk > 0) {
            float4 w[2][2];
            load_pair(x, chunk, pair), load_pair(a.norm_weight, chunk, w);
            norm(pair[0], w[0]), norm(pair[1], w[1]);
          }
        }
        wave_sync();  // the last ones are read
        if (of_two) {
          make(pair);
          if (!kNorm) load_pair(x, chunk + 2 < args.chunks ? chunk + 2 : 0, pair);
        } else {
          const float4 v[1][2] = {{pair[0][0], pair[0][1]}};
          make(v);
        }
        wave_sync();
      }
      const float* const sums_of_x = gemv::sums_behind(x_words);
      const float back = mine ? sums_of_x[8] : 0;
      bool loaded = round > 0 && args.chunks == 1 && !order.kTwoLanes, loaded_second = false;
      int place = above;  // of the wave's rows among the round's sums
      GRETA_NO_UNROLL
      for (int matrix = 0; matrix < kMatrices; ++matrix) {
        const int rows = order.rows(matrix, round);
        if (kMatrices > 1 && rows == 0) continue;
        const bool second = order.second(matrix);
        if (mine && (!loaded || second != loaded_second))
          second ? B::load_x(B::place_of_x(map, x_words, zeros), of_x)
                 : A::load_x(A::place_of_x(map, x_words, zeros), of_x);
        loaded = true, loaded_second = second;
#if defined(GRETA_HIP_NVIDIA)
        const int pitch = order.pitch(second),
                  at_tile = order.moved(matrix, chunk) + order.place(above, second);
#else
        const PartsShare share = order.shares[matrix];
        const uint8_t* row = share.begin +
                             static_cast<uint64_t>(round * args.round_rows + above) * share.row_bytes +
                             order.bytes(order.first_block(chunk), second);
#endif
        int left = rows - above;  // from the wave's first on
        GRETA_NO_UNROLL
        for (; left > -above; left -= stage_rows, place += stage_rows) {
#if defined(GRETA_HIP_NVIDIA)
          // The slot of a stage that by now every wave is likely to have left, if enough others are on their
          // way.
          const int before = stage - (in_turns && args.stages > 3 ? 2 : 1);
          if (before >= 0 && (in_turns ? before % (kWaves / 2) == team / 2 : last))
            order.fill(before + args.stages, team % 2, words, bars);
          if (!fills_all) stages.wait_full();
#endif
          if (mine && left > 0) {
            PartsRowSum own;
            const auto add = [&]<class Lane>() {
#if defined(GRETA_HIP_NVIDIA)
              const int byte = order.beyond(chunk, second) + column * Lane::kBytes;
              const uint4* const tile = words + stages.slot() * args.stage_words + at_tile;
#else
              const int pitch = Lane::Tile::kWords;
              const uint8_t* const begin = row + column * Lane::kBytes;
              const int byte = static_cast<int>(reinterpret_cast<uintptr_t>(begin) & 15);
              const uint4* const tile = own_words;
              AsyncCopies copies;
              wave_sync();  // all have read the last tile
              for (int word = lane; word < kPartsRows * pitch; word += wave_size()) {
                const int r = word / pitch, at_word = word % pitch, at_byte = at_word * 16;
                const bool wanted = r < left && at_byte < byte + Lane::kBytes;
                const uint8_t* const from =
                    begin - byte + static_cast<uint64_t>(r) * share.row_bytes + at_byte;
                copies.copy16(own_words + parts_row(r, pitch, Lane::kApart) + at_word,
                              wanted ? from : begin - byte, wanted ? 16 : 0);
              }
              copies.commit();
              copies.wait<0>();
              wave_sync();
#endif
              float sum[kMostSums];
              Lane::multiply(map, tile, pitch, byte, of_x, sums_of_x, sum);
              own = gemv::sum_of_row(map, sum);
              own.row = Lane::tile_row(own.row);
            };
            if (second) {
              add.template operator()<B>();
            } else {
              add.template operator()<A>();
            }
            if (own.mine && own.row < left) {
              float& total = sums[(place + own.row) * args.sum_pitch + column];
              total = chunk == 0 ? own.sum * back : total + own.sum * back;
            }
          }
#if defined(GRETA_HIP_NVIDIA)
          stages.release();
          stages.next();
          ++stage;
#else
          row += static_cast<uint64_t>(share.row_bytes) << args.log_rows;
#endif
        }
        place += left + above;  // to the rows' end
      }
    }
    __syncthreads();
    const int from = round * args.round_rows;
    const auto share = [&](int i) { return order.share(i); };
    const GemvRows<decltype(share)> rows{share, from, from + args.round_rows, kWaves * wave_size()};
    Epilogue::run(a, rows, early, [&](int i, int row) {
      int place = row - from;
      GRETA_UNROLL
      for (int j = 0; j < kMatrices; ++j) {
        if (j < i) place += order.rows(j, round);
      }
      return gemv::sum_of_waves<kWaves>(sums + place * args.sum_pitch, fours);
    });
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
