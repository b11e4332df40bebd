// The tile of f32 that the wide builds of qk and of pv share: 32 rows by 64 columns a block of 128 threads, 4
// by 4 a thread, in slices of 32 along the sum. Private to kernels/.
#pragma once

#include <string>

#include "kernels/attention.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kTileRows = 32, kTileColumns = 64, kTileDepth = 32, kTileMicro = 4;
inline constexpr int kTileLanes = kTileColumns / kTileMicro;
inline constexpr int kTileThreads = kTileRows / kTileMicro * kTileLanes;
inline constexpr int kTileStride = kTileDepth + 1;  // of a row in shared memory: no two of a column in a bank

struct TileRange {
  int64_t first, end;
};

// to[row][column] = convert(from[(rows.first + row) · stride + columns.first + column]), kTileDepth columns;
// zeros beyond either range.
template <typename Stored, typename Convert>
__device__ __forceinline__ void fill_tile(const Stored* from, int64_t stride, TileRange rows,
                                          TileRange columns, int count, float* to, Convert convert) {
  for (int i = static_cast<int>(threadIdx.x); i < count * kTileDepth; i += kTileThreads) {
    const int row = i / kTileDepth, column = i % kTileDepth;
    const bool there = rows.first + row < rows.end && columns.first + column < columns.end;
    to[row * kTileStride + column] =
        there ? convert(from[(rows.first + row) * stride + columns.first + column]) : 0.0f;
  }
}

__device__ __forceinline__ void add_products(const float (&a)[kTileMicro], const float (&b)[kTileMicro],
                                             float (&sums)[kTileMicro][kTileMicro]) {
  GRETA_UNROLL
  for (int i = 0; i < kTileMicro; ++i) {
    GRETA_UNROLL
    for (int j = 0; j < kTileMicro; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
  }
}
__device__ __forceinline__ void add_sums(const float (&sums)[kTileMicro][kTileMicro],
                                         float (&totals)[kTileMicro][kTileMicro]) {
  GRETA_UNROLL
  for (int i = 0; i < kTileMicro; ++i) {
    GRETA_UNROLL
    for (int j = 0; j < kTileMicro; ++j) totals[i][j] += sums[i][j];
  }
}

// Additions on the longest path: within a slice, then of the slices.
inline int64_t tile_chain(int64_t length) { return kTileDepth + ceil_div(length, kTileDepth); }

inline std::string tile_name() {
  return "tile=" + std::to_string(kTileRows) + "x" + std::to_string(kTileColumns) + "x" +
         std::to_string(kTileDepth) + ",threads=" + std::to_string(kTileThreads) + ">";
}

}  // namespace greta::kernels::inline GRETA_MACHINE
