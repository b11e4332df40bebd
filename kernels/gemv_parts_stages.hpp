// Which rows and columns each stage of a GEMV kernel through the matrix unit has, and how a wave fills them.
// What stages, chunks and rounds are: gemv_parts_block.hpp. Private to the gemv_parts_ files.
#pragma once

#include <type_traits>

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_parts_lane.hpp"
#include "kernels/hip/bulk_stages.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kPartsRows = 16;  // of a tile

struct PartsArgs {
  GemvArgs common;                 // its `splits` and `slab` are not used
  int chunks = 1;                  // of columns
  int each = 1, more = 0;          // blocks of a chunk: `each`, and one more of the first `more`
  int across_inverse = 65536;      // 2^16 / blocks of the widest chunk, rounded up
  int groups = 1, log_rows = 4;    // tiles one below the other in a stage, a power of two; log2 of their rows
  int rounds = 1, round_rows = 0;  // rows of each matrix in a round, a multiple of a stage's
  int sum_rows = 0;                // of all matrices in a round, at most
  int stages = 2, stage_words = 0;
  int early = 1;       // filled before x is there
  bool whole = false;  // rows of a stage lie in one piece, in memory as in the stage
  int pitch[2] = {};   // words from row to row in a stage, of either lane
};

// A block's rows of a matrix, in shared memory: what is seldom asked for should not occupy registers.
struct PartsShare {
  const uint8_t* begin;
  uint32_t row_bytes;
  int rows;
};

// Which rows and columns a stage has.
template <class A, class B, int kMatrices>
struct PartsOrder {
  static constexpr bool kTwoLanes = !std::is_same_v<A, B>;
  const PartsArgs& args;
  PartsShare* shares;

  // By one wave, before all else, and a barrier.
  __device__ __forceinline__ void begin() const {
    GRETA_UNROLL
    for (int i = 0; i < kMatrices; ++i) {
      if (lane_id() == i) {
        const GemvShare share = gemv_share(args.common, i);
        const GemvMatrix& m = args.common.m[i];
        shares[i] = {m.data + share.first * m.row_bytes, static_cast<uint32_t>(m.row_bytes),
                     i < args.common.count ? share.rows : 0};
      }
    }
  }
  __device__ __forceinline__ int rows(int matrix, int round) const {
    const int left = shares[matrix].rows - round * args.round_rows;
    return left < 0 ? 0 : left < args.round_rows ? left : args.round_rows;
  }
  __device__ __forceinline__ int first_block(int chunk) const {
    return chunk * args.each + (chunk < args.more ? chunk : args.more);
  }
  __device__ __forceinline__ int blocks(int chunk) const { return args.each + (chunk < args.more); }
  __device__ __forceinline__ bool second(int matrix) const {
    return kTwoLanes && (args.common.second >> matrix & 1) != 0;
  }
  __device__ __forceinline__ int pitch(bool second) const { return second ? args.pitch[1] : args.pitch[0]; }
  __device__ __forceinline__ int bytes(int blocks, bool second) const {
    return blocks * (second ? B::kBytes : A::kBytes);
  }
  // Words that the rows of a stage are moved by, so that a whole copy of them keeps its place within 128
  // bytes: the machine copies others more slowly. The same for every unit of 16 rows.
  __device__ __forceinline__ int moved(int matrix) const {
    return args.whole ? static_cast<int>(reinterpret_cast<uintptr_t>(shares[matrix].begin) >> 4 & 7) : 0;
  }
  // Bytes of a chunk's first word that lie ahead of it, the same in every row.
  __device__ __forceinline__ int beyond(int chunk, bool second) const {
    return bytes(first_block(chunk), second) & 15;
  }
};

// The stages of a round and chunk one after another, as one wave sees them that has to do with row `offset`
// of each and those behind it.
template <class A, class B, int kMatrices>
class PartsStages {
 public:
  __device__ __forceinline__ PartsStages(const PartsOrder<A, B, kMatrices>& all, int offset)
      : order(all), offset_(offset) {}
  __device__ __forceinline__ void begin(int round, int chunk) {
    round_ = round, chunk_ = chunk, before_ = 0;
    enter(0);
  }
  __device__ __forceinline__ bool valid() const { return matrix < kMatrices; }
  __device__ __forceinline__ void next() {
    const int step = 1 << order.args.log_rows;
    left -= step, place += step;
    row += static_cast<uint64_t>(row_bytes) << order.args.log_rows;
    if (left + offset_ > 0) return;
    if (kMatrices > 1) before_ += order.rows(matrix, round_);
    enter(matrix + 1);
  }
  // n stages on, into later chunks and rounds.
  __device__ __forceinline__ void skip(int n) {
    while (!ended()) {
      int following = 0;
      if (valid()) {
        const int log = order.args.log_rows, inside = (left + offset_ + (1 << log) - 1) >> log;
        if (n < inside) {
          left -= n << log;
          row += static_cast<uint64_t>(n << log) * row_bytes;
          return;
        }
        n -= inside;
        following = matrix + 1;
      } else {
        if (++chunk_ == order.args.chunks) chunk_ = 0, ++round_;
        if (ended()) return;
        before_ = 0;
      }
      enter(following);
    }
  }
  __device__ __forceinline__ bool ended() const { return round_ >= order.args.rounds; }
  __device__ __forceinline__ int chunk() const { return chunk_; }
  __device__ __forceinline__ bool second() const { return order.second(matrix); }

  const PartsOrder<A, B, kMatrices> order;
  int matrix = kMatrices;
  const uint8_t* row = nullptr;  // where the chunk's columns of row `offset` begin
  uint32_t row_bytes = 0;
  int left = 0;   // rows from that one on, none or less if it is not there
  int place = 0;  // its place among the round's sums

 private:
  __device__ __forceinline__ void enter(int first) {
    matrix = first;
    if (kMatrices > 1) {
      while (matrix < kMatrices && order.rows(matrix, round_) == 0) ++matrix;
    } else if (matrix == 0 && order.rows(0, round_) == 0) {
      matrix = 1;
    }
    if (!valid()) return;
    const PartsShare share = order.shares[matrix];
    row_bytes = share.row_bytes;
    left = order.rows(matrix, round_) - offset_;
    place = before_ + offset_;
    row = share.begin + static_cast<uint64_t>(round_ * order.args.round_rows + offset_) * row_bytes +
          order.bytes(order.first_block(chunk_), second());
  }

  int offset_, round_ = 0, chunk_ = -1, before_ = 0;  // ahead of all stages
};

namespace gemv {

#if defined(GRETA_HIP_NVIDIA)
// What a wave does to fill stages. Whole ones: those numbered `team`, team + kWaves, … Others: its share of
// each stage's rows, if it is one of the waves that have no tile.
template <class A, class B, int kMatrices, int kWaves>
class PartsFiller {
 public:
  // across: tiles side by side.
  __device__ __forceinline__ PartsFiller(const PartsOrder<A, B, kMatrices>& order, uint4* words,
                                         uint64_t* bars, int team, int across)
      : at_(order, 0), words_(words), slots_(bars, order.args.stages), team_(team), across_(across) {}
  __device__ __forceinline__ void begin() { skip(at_.order.args.whole ? team_ : 0); }
  // Whether a stage whose turn it is is this wave's to fill.
  __device__ __forceinline__ bool fills(int turn) const {
    return at_.order.args.whole ? team_ == turn : team_ >= across_;
  }
  // The stage it is at, if there is one; and on to the next.
  __device__ __forceinline__ void fill() {
    if (at_.ended()) return;
    slots_.wait_free();
    copy();
    wave_sync();
    skip(at_.order.args.whole ? kWaves : 1);
  }

 private:
  __device__ __forceinline__ void copy() const {
    const PartsArgs& args = at_.order.args;
    const int most = 1 << args.log_rows, rows = at_.left < most ? at_.left : most;
    uint4* const slot = words_ + slots_.slot() * args.stage_words;
    if (args.whole) {
      if (lane_id() != 0) return;
      const uint32_t bytes = static_cast<uint32_t>(rows) * at_.row_bytes;
      slots_.expect(bytes);
      slots_.copy(slot + at_.order.moved(at_.matrix), at_.row, bytes);
    } else {  // from the first whole word to the last
      const int beyond = at_.order.beyond(at_.chunk(), at_.second());
      const auto bytes = static_cast<uint32_t>(
          (beyond + at_.order.bytes(at_.order.blocks(at_.chunk()), at_.second()) + 15) & ~15);
      const int row = team_ - across_ + lane_id() * (kWaves - across_);
      if (row == 0) slots_.expect(static_cast<uint32_t>(rows) * bytes);  // of all waves
      if (row < rows)
        slots_.copy(slot + row * at_.order.pitch(at_.second()),
                    at_.row + static_cast<uint64_t>(row) * at_.row_bytes - beyond, bytes);
    }
  }
  __device__ __forceinline__ void skip(int n) { at_.skip(n), slots_.skip(n); }

  PartsStages<A, B, kMatrices> at_;
  uint4* words_;
  BulkStages slots_;
  int team_, across_;
};
#endif

}  // namespace gemv

}  // namespace greta::kernels::inline GRETA_MACHINE
