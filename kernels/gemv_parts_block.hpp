// The block of every GEMV kernel through the matrix unit: products of this block's rows of one to three
// matrices with x, as it is or normed on the way, and an epilogue that has them all at hand. Private to the
// gemv_parts_ and fused_ files.
//
// A wave's work is a tile: 16 rows of a matrix and a block of 256 columns. A stage is a tile for every wave:
// the columns are cut into chunks of at most as many blocks as there are waves (less two, that fill, where
// there are several chunks), and where K has fewer, several units of 16 rows lie side by side. Chunk by chunk
// a wave makes its block of x into integers, keeps them in registers, and goes through the rows. A block with
// many rows takes them in rounds, so that the waves' sums have room.
//
// Where the machine can copy in bulk (hip/bulk_stages.hpp) the waves fill the stages in turn, the first
// before the kernel ahead in the stream has ended (dependent_launch.hpp), the others when x is there: what is
// asked for later waits behind them. Elsewhere each wave copies its own tiles. The waves meet for the norm
// and at the end of a round.
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
  return kBulkStages ? 0
                     : kPartsRows * (A::Tile::kWords > B::Tile::kWords ? A::Tile::kWords : B::Tile::kWords);
}

// A row's sum over the lanes that share it; `mine` of one lane a row.
struct PartsRowSum {
  float sum;
  int row;
  bool mine;
};

namespace gemv {

__device__ __forceinline__ PartsRowSum sum_of_row(const PartsMap& map, const float (&sum)[kMostRowsOfC]) {
  const int lane = map.lane;
  if (wave_size() == 32) {  // four lanes share two rows: two of them go on with either
    const bool second = lane % 2 != 0;
    float own = (second ? sum[1] : sum[0]) + wave_shuffle_xor(second ? sum[0] : sum[1], 1);
    own += wave_shuffle_xor(own, 2);
    return {own, map.row_of_c(second), lane % 4 < 2};
  }
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
  return {own, map.row_of_c(kept), lane % 4 == 0};
}

}  // namespace gemv

// A: the lane of most matrices; B: of those in `second`. Epilogue::early(args): what a thread's first row
// wants from memory, asked for when x is; Epilogue::run(args, rows, early, value), value(i, r): the product
// of this block's row r of matrix i.
template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kWaves>
__global__ void __launch_bounds__(parts_threads<kWaves>()) gemv_parts_kernel(PartsArgs args) {
  const GemvArgs& a = args.common;
  release_successor();
  GRETA_DYNAMIC_SHARED(uint4, all_slots);
  GRETA_SHARED(float, squares_of_wave, kWaves);
  const int team = wave_id(), lane = lane_id();
  uint4* const words = all_slots + kWaves * kPartsSlots;
  // The wave's place in a stage.
  const int across = args.each + (args.more > 0), group = team * args.across_inverse >> 16,
            column = team - group * across;
  GRETA_SHARED(PartsShare, shares, kMatrices);
  const PartsOrder<A, B, kMatrices> order{args, shares};
#if defined(GRETA_HIP_NVIDIA)
  GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
  gemv::PartsFiller<A, B, kMatrices, kWaves> filler(order, words, bars, team, across);
  if (team == 0) order.begin();
  if (team == kWaves - 1) BulkStages::begin(bars, args.stages, kWaves);
  __syncthreads();
  BulkStages stages(bars, args.stages);
  // Stages done; whose turn it is to fill one; what is this wave's to fill when x is there.
  int done = 0, turn = args.stages;
  const bool fills_at_once = args.whole ? team < args.early : filler.fills(0);
  int early = args.whole ? !fills_at_once && team < args.stages : fills_at_once ? args.stages - 1 : 0;
  float* const all_sums = reinterpret_cast<float*>(words + args.stages * args.stage_words);
#else
  if (team == 0) order.begin();
  __syncthreads();
  uint4* const own_words = words + team * parts_own_words<A, B>();
  float* const all_sums = reinterpret_cast<float*>(words + kWaves * parts_own_words<A, B>());
#endif
  uint4* const slots = all_slots + team * kPartsSlots;

  const int lane_slots = kPartsSlots / wave_size();
  const auto slot_of = [&](int block, int j) { return block * kPartsSlots + lane * lane_slots + j; };
  const auto load_block = [&](const float* values, int block, float4(&v)[2]) {
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j)
      if (j < lane_slots) v[j] = reinterpret_cast<const float4*>(values)[slot_of(block, j)];
  };
  float4 first_weights[2] = {};
  const bool works = group < args.groups;
  if (kNorm && works) load_block(a.norm_weight, column, first_weights);
  const float* x = a.x + blockIdx.y * static_cast<int64_t>(a.K);
  float4 next_x[2] = {};
  float early_value = 0;
  const auto ask_for_x = [&] {
    wait_for_predecessor();
    if (works) load_block(x, column, next_x);
    early_value = Epilogue::early(a);
  };
#if defined(GRETA_HIP_NVIDIA)
  // Who does not fill at once finds its first stage while x is on its way.
  GRETA_NO_UNROLL
  for (int turn = 0; turn < 2; ++turn) {
    if (fills_at_once == (turn == 0)) filler.begin();
    if (turn > 0) break;
    if (fills_at_once) filler.fill();
    ask_for_x();
  }
#else
  ask_for_x();
#endif
  float scale = 1;
  const auto norm = [&](float4& v, const float4& w) {
    v = make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
  };
  if constexpr (kNorm) {
    const int blocks = a.K / kPartsBlock;
    float own = 0;
    for (int b = team; b < blocks; b += kWaves) {
      float4 v[2] = {};
      load_block(x, b, v);
      GRETA_UNROLL
      for (int j = 0; j < 2; ++j) {
        own = fmaf(v[j].x, v[j].x, own), own = fmaf(v[j].y, v[j].y, own);
        own = fmaf(v[j].z, v[j].z, own), own = fmaf(v[j].w, v[j].w, own);
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
        GRETA_UNROLL
        for (int j = 0; j < 2; ++j) {
          if (j >= lane_slots) break;
          norm(v[j], w[j]);
          reinterpret_cast<float4*>(a.norm_out)[slot_of(b, j)] = v[j];
        }
      }
    }
  }

  const PartsMap map;
  gemv::BlockOfX of_x{};
  PartsStages<A, B, kMatrices> at(order, group * kPartsRows);
  for (int round = 0; round < args.rounds; ++round) {
    // Two rounds' sums: the waves that write the next ones need not wait for those that read these.
    float* const sums = all_sums + (round & 1) * kWaves * args.sum_rows;
    for (int chunk = 0; chunk < args.chunks; ++chunk) {
      const int first = order.first_block(chunk);
      const bool mine = works && column < order.blocks(chunk);
      const bool fresh = round == 0 || args.chunks > 1;
      if (mine && fresh) {
        float4 v[2] = {next_x[0], next_x[1]};
        if (kNorm && (round > 0 || chunk > 0)) load_block(x, first + column, v);
        if (!kNorm && args.chunks > 1) {
          const int next = chunk + 1 == args.chunks ? 0 : chunk + 1;
          if (column < order.blocks(next)) load_block(x, order.first_block(next) + column, next_x);
        }
        if constexpr (kNorm) {
          float4 w[2] = {first_weights[0], first_weights[1]};
          if (round > 0 || chunk > 0) load_block(a.norm_weight, first + column, w);
          GRETA_UNROLL
          for (int j = 0; j < 2; ++j) norm(v[j], w[j]);
        }
        gemv::make_integers<A::kMinima || B::kMinima>(map, v, slots, of_x);
      }
      bool loaded = !fresh && !order.kTwoLanes, loaded_second = false;
      for (at.begin(round, chunk); at.valid();) {
#if defined(GRETA_HIP_NVIDIA)
        // At first what is still empty, later the slot of the stage before the last: by now every wave is
        // likely to have left it.
        if (early > 0 || (done >= 2 && filler.fills(turn))) filler.fill();
        if (early-- > 0) continue;
        if (++done > 2) turn = turn + 1 == kWaves ? 0 : turn + 1;
#endif
        const bool second = at.second();
        if (mine && (!loaded || second != loaded_second))
          second ? B::load_x(map, slots, of_x.parts) : A::load_x(map, slots, of_x.parts);
        loaded = true, loaded_second = second;
#if defined(GRETA_HIP_NVIDIA)
        stages.wait_full();
#endif
        if (mine && at.left > 0) {
          float sum[kMostRowsOfC] = {};
          const auto add = [&]<class Lane>() {
#if defined(GRETA_HIP_NVIDIA)
            const int pitch = order.pitch(second), byte = order.beyond(chunk, second) + column * Lane::kBytes;
            const uint4* const tile = words + stages.slot() * args.stage_words + order.moved(at.matrix) +
                                      group * kPartsRows * pitch;
#else
            const int pitch = Lane::Tile::kWords;
            const uint8_t* const begin = at.row + column * Lane::kBytes;
            const int byte = static_cast<int>(reinterpret_cast<uintptr_t>(begin) & 15);
            const uint4* const tile = own_words;
            AsyncCopies copies;
            wave_sync();  // all have read the last tile
            for (int word = lane; word < kPartsRows * pitch; word += wave_size()) {
              const int row = word / pitch, at_byte = word % pitch * 16;
              const bool wanted = row < at.left && at_byte < byte + Lane::kBytes;
              const uint8_t* const from = begin - byte + static_cast<uint64_t>(row) * at.row_bytes + at_byte;
              copies.copy16(own_words + word, wanted ? from : begin - byte, wanted ? 16 : 0);
            }
            copies.commit();
            copies.wait<0>();
            wave_sync();
#endif
            Lane::multiply(map, tile, pitch, byte, of_x.parts, of_x.sums, sum);
          };
          if (second) {
            add.template operator()<B>();
          } else {
            add.template operator()<A>();
          }
          const PartsRowSum own = gemv::sum_of_row(map, sum);
          if (own.mine && own.row < at.left) {
            float& total = sums[team * args.sum_rows + at.place + own.row];
            total = chunk == 0 ? own.sum * of_x.back : total + own.sum * of_x.back;
          }
        }
#if defined(GRETA_HIP_NVIDIA)
        stages.release();
        stages.next();
#endif
        at.next();
      }
    }
    __syncthreads();
    const int from = round * args.round_rows;
    Epilogue::run(a, {from, from + args.round_rows, kWaves * wave_size()}, early_value, [&](int i, int row) {
      int place = row - from;
      const float* own = sums + (place / kPartsRows & (args.groups - 1)) * across * args.sum_rows;
      GRETA_UNROLL
      for (int j = 0; j < kMatrices; ++j) {
        if (j < i) place += order.rows(j, round);
      }
      float sum = own[place];
      GRETA_UNROLL
      for (int wave = 1; wave < kWaves; ++wave)
        if (wave < across) sum += own[wave * args.sum_rows + place];
      return sum;
    });
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
