// The copies of a block of the wide matrix-core product: tiles of x and steps of packed W, into rings in
// shared memory. Private to kernels/.
#pragma once

#include "kernels/gemm_plan.hpp"
#include "kernels/hip/async_copy.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// A thread's part in copying the block's tiles of x: piece threadIdx % 8 of some rows.
template <class PLAN>
struct XTiles {
  const half_bits* from;
  int stride;  // of a row
  int to;
  uint8_t* ring;

  __device__ __forceinline__ XTiles(const GemmArguments& g, int64_t m0, uint8_t* x_ring) {
    constexpr int kPieces = kPanel / kPiece;
    const int row = static_cast<int>(threadIdx.x) / kPieces, piece = static_cast<int>(threadIdx.x) % kPieces;
    stride = g.tiles * kPanel;
    from = g.x + (m0 + row) * stride + piece * kPiece;
    to = 2 * tile_at(PLAN::kM, row, piece * kPiece);
    ring = x_ring;
  }
  __device__ __forceinline__ uint8_t* tile(int t) const { return ring + t % PLAN::kXStages * PLAN::kXBytes; }
  __device__ __forceinline__ void copy(AsyncCopies& copies, int t) const {
    const int rows = PLAN::kWaves * wave_size() / (kPanel / kPiece);  // at a time; a multiple of 8
    const half_bits* const at = from + t * kPanel;
    GRETA_UNROLL
    for (int first = 0; first < PLAN::kM; first += rows)
      copies.copy16(tile(t) + to + first * kPanel * 2, at + static_cast<int64_t>(first * stride), 16);
  }
};

// Likewise of steps of W: pieces are dealt out to threads in order. Rows beyond the last repeat it (they are
// made and not stored); bytes beyond a row are zeros.
template <class PLAN>
struct WSteps {
  const uint8_t* rows;
  int row_bytes, last;
  uint32_t first_byte;  // of `rows`: its place in 16 bytes
  uint8_t* ring;

  __device__ __forceinline__ WSteps(const GemmArguments& g, int64_t n0, uint8_t* w_ring)
      : rows(g.w + n0 * g.row_bytes),
        row_bytes(static_cast<int>(g.row_bytes)),
        last(static_cast<int>(g.N - n0 < PLAN::kN ? g.N - n0 : PLAN::kN) - 1),
        first_byte(static_cast<uint32_t>(n0 * g.row_bytes)),
        ring(w_ring) {}
  __device__ __forceinline__ uint8_t* step(int s) const { return ring + s % PLAN::kWStages * PLAN::kWBytes; }
  __device__ __forceinline__ int row(int r) const { return r < last ? r : last; }
  // Bytes by which step s of this row begins behind its first piece.
  __device__ __forceinline__ int shift(int r, int s) const {
    if constexpr (PLAN::kAligned) return 0;
    return static_cast<int>((first_byte + static_cast<uint32_t>(row(r) * row_bytes) +
                             static_cast<uint32_t>(s * PLAN::kStepBytes)) &
                            15);
  }
  __device__ __forceinline__ void copy(AsyncCopies& copies, int s) const {
    GRETA_UNROLL
    for (int first = 0; first < PLAN::kN * PLAN::kPieces; first += PLAN::kWaves * wave_size()) {
      const int id = first + static_cast<int>(threadIdx.x), r = id / PLAN::kPieces,
                piece = id % PLAN::kPieces;
      if (id >= PLAN::kN * PLAN::kPieces) break;
      const int begin = row(r) * row_bytes;
      const int from = begin + s * PLAN::kStepBytes - shift(r, s) + 16 * piece;
      int bytes = 16;
      if constexpr (!PLAN::kWhole) {
        const int left = begin + row_bytes - from;
        bytes = left >= 16 ? 16 : left > 0 ? left : 0;
      }
      copies.copy16(step(s) + r * PLAN::kStride + 16 * piece, rows + (bytes > 0 ? from : 0), bytes);
    }
  }
};

}  // namespace greta::kernels::inline GRETA_MACHINE
