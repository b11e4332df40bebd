// Which rows and columns each stage of a GEMV kernel through the matrix unit has, and how it is filled.
// What stages, chunks and rounds are: gemv_parts_block.hpp. Private to the gemv_parts_ files.
#pragma once

#include <type_traits>

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_parts_lane.hpp"
#include "kernels/hip/bulk_stages.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Rows of the first or second halves of all tiles that `rows` rows make.
__device__ __forceinline__ int rows_of_half(int rows, int half) {
  const int most = kPartsRows / 2, whole = rows / kPartsRows * most, rest = rows % kPartsRows - half * most;
  return whole + (rest < 0 ? 0 : rest < most ? rest : most);
}

struct PartsArgs {
  GemvArgs common;                 // its `splits` and `slab` are not used
  int chunks = 1, held = 1;        // of columns; whose x is in shared memory at once: two, where there are
  int each = 1, more = 0;          // blocks of a chunk: `each`, and one more of the first `more`
  int across_inverse = 65536;      // 2^16 / blocks of the widest chunk, rounded up
  int groups = 1, log_rows = 4;    // tiles one below the other in a stage, a power of two; log2 of their rows
  int rounds = 1, round_rows = 0;  // rows of each matrix in a round, a multiple of a stage's
  int sum_rows = 0;                // of all matrices in a round, at most
  int sum_pitch = 4;               // floats from one row's sums, a wave each, to the next; a multiple of 4
  int stages = 2, stage_words = 0;
  bool whole = false;    // rows of a stage lie in one piece, in memory as in the stage
  bool fillers = false;  // one matrix in one round: the last two waves do nothing but fill, a loop of its own
  int pitch[2] = {};     // words from row to row in a stage, of either lane
  // gemv_resident.hpp: where x's integers and the sums lie, in words, and the first of the last stage's rows
  // that come when x has been read.
  bool resident = false;
  int x_at = 0, sums_at = 0, behind_x = 1 << 30;
};

// A block's rows of a matrix, from the matrix's row `first` on, in shared memory: what is seldom asked for
// should not occupy registers.
struct PartsShare {
  const uint8_t* begin;
  int64_t first;
  uint32_t row_bytes;
  int rows;
};

// A stage: `rows` from the block's row `first` of a matrix on, none where there is no such stage.
struct PartsStage {
  int matrix, chunk, first, rows;
};

// Which rows and columns a stage has. kUnits: as in gemv_share.
template <class A, class B, int kMatrices, bool kUnits>
struct PartsOrder {
  static constexpr bool kTwoLanes = !std::is_same_v<A, B>;
  const PartsArgs& args;
  PartsShare* shares;

  // By one wave, before all else; then wave_sync for it and a barrier for the others.
  __device__ __forceinline__ void begin() const {
    GRETA_UNROLL
    for (int i = 0; i < kMatrices; ++i) {
      if (lane_id() == i) {
        const GemvShare share = gemv_share<kUnits>(args.common, i);
        const GemvMatrix& m = args.common.m[i];
        shares[i] = {m.data + share.first * m.row_bytes, share.first, static_cast<uint32_t>(m.row_bytes),
                     i < args.common.count ? share.rows : 0};
      }
    }
  }
  __device__ __forceinline__ GemvShare share(int i) const { return {shares[i].first, shares[i].rows}; }
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
  // Of a stage's row, in words.
  __device__ __forceinline__ int place(int row, bool second) const {
    return parts_row(row, pitch(second), second ? B::kApart : A::kApart);
  }
  __device__ __forceinline__ int bytes(int blocks, bool second) const {
    return blocks * (second ? B::kBytes : A::kBytes);
  }
  // The stages of a round follow each other by chunks, matrices and rows.
  __device__ __forceinline__ PartsStage stage(int n) const {
    GRETA_NO_UNROLL
    for (int round = 0; round < args.rounds; ++round) {
      GRETA_NO_UNROLL
      for (int chunk = 0; chunk < args.chunks; ++chunk) {
        GRETA_NO_UNROLL
        for (int matrix = 0; matrix < (kMatrices == 1 ? 1 : args.common.count); ++matrix) {
          const int most = 1 << args.log_rows, all = rows(matrix, round);
          const int stages = (all + most - 1) >> args.log_rows;
          if (n < stages) {
            const int first = n << args.log_rows, left = all - first;
            return {matrix, chunk, round * args.round_rows + first, left < most ? left : most};
          }
          n -= stages;
        }
      }
    }
    return {};
  }
  // Words that the rows of a stage are moved by, so that copies keep their places within 128 bytes: the
  // machine is slower with others. The same for every unit of 16 rows.
  __device__ __forceinline__ int moved(int matrix, int chunk) const {
    const int begin = static_cast<int>(reinterpret_cast<uintptr_t>(shares[matrix].begin) >> 4);
    return (begin + (bytes(first_block(chunk), second(matrix)) >> 4)) & 7;
  }
  // Bytes of a chunk's first word that lie ahead of it, the same in every row.
  __device__ __forceinline__ int beyond(int chunk, bool second) const {
    return bytes(first_block(chunk), second) & 15;
  }

#if defined(GRETA_HIP_NVIDIA)
  // By two waves, a half of each tile each: the stage n, if there is one, when its slot of `words` is free.
  __device__ __forceinline__ void fill(int n, int half, uint4* words, uint64_t* bars) const {
    const PartsStage at = stage(n);
    if (at.rows <= 0) return;
    const PartsShare& share = shares[at.matrix];
    const bool lane_b = second(at.matrix);
    const uint8_t* const from = share.begin + static_cast<uint64_t>(at.first) * share.row_bytes +
                                bytes(first_block(at.chunk), lane_b);
    BulkStages slots(bars, args.stages);
    slots.go_to(n);
    uint4* const to = words + slots.slot() * args.stage_words + moved(at.matrix, at.chunk);
    slots.wait_free();
    // Whole rows together; others one by one, from the first whole word to the last.
    const int skipped = beyond(at.chunk, lane_b), most = kPartsRows / 2;
    const uint32_t own = args.whole
                             ? share.row_bytes
                             : static_cast<uint32_t>((skipped + bytes(blocks(at.chunk), lane_b) + 15) & ~15);
    slots.expect(static_cast<uint32_t>(rows_of_half(at.rows, half)) * own);
    GRETA_NO_UNROLL
    for (int row = half * most; row < at.rows; row += kPartsRows) {
      const int left = at.rows - row, rows = left < most ? left : most;
      slots.copy(to + place(row, lane_b), pitch(lane_b) * 16,
                 from + static_cast<uint64_t>(row) * share.row_bytes - skipped, share.row_bytes,
                 args.whole ? 1 : rows, args.whole ? static_cast<uint32_t>(rows) * own : own);
    }
  }

  // By the same two waves, where there are fillers: all stages. The kernel ahead is waited for behind the
  // first.
  __device__ __forceinline__ void fill_all(int half, uint4* words, uint64_t* bars) const {
    constexpr int kMost = kPartsRows / 2;
    const PartsShare share = shares[0];
    BulkStages slots(bars, args.stages);
    GRETA_NO_UNROLL
    for (int chunk = 0; chunk < args.chunks; ++chunk) {
      const int skipped = beyond(chunk, false), step = pitch(false) * 16;
      const auto own = static_cast<uint32_t>((skipped + bytes(blocks(chunk), false) + 15) & ~15);
      const uint8_t* from = share.begin + static_cast<uint64_t>(half * kMost) * share.row_bytes +
                            bytes(first_block(chunk), false) - skipped;
      uint4* const to = words + moved(0, chunk) + place(half * kMost, false);
      GRETA_NO_UNROLL
      for (int left = share.rows; left > 0; left -= kPartsRows) {
        const int rest = left - half * kMost, rows = rest < 0 ? 0 : rest < kMost ? rest : kMost;
        slots.wait_free();
        slots.expect(static_cast<uint32_t>(rows) * own);
        slots.copy(to + slots.slot() * args.stage_words, step, from, share.row_bytes, rows, own);
        slots.next();
        from += static_cast<uint64_t>(kPartsRows) * share.row_bytes;
        if (chunk == 0 && left == share.rows) wait_for_predecessor();
      }
    }
  }
#endif
};

}  // namespace greta::kernels::inline GRETA_MACHINE
