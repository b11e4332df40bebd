// How a wide matrix-core product is cut up, and what its kernel is told. Private to kernels/.
#pragma once

#include "kernels/gemm_weights.hpp"
#include "kernels/hip/wave_group_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// One product, K in tiles of 64 (kPanel).
struct GemmArguments {
  const uint8_t* w;
  int64_t N, row_bytes;  // of W, packed
  const half_bits* x;    // [rows in whole blocks, tiles · 64] in the order of LaneWeights<T>::k_of
  int64_t rows;
  int tiles;  // whole steps of W; even
  float* y;
};

// A block makes kM rows of x by kN rows of W. A wave makes 16·X_TILES rows of x by 16·W_TILES rows of W: what
// it unpacks of W serves all of them. With GROUPED four neighbouring waves multiply as one (wave_group.hpp).
// BLOCKS: that are to run on a multiprocessor at once. ALIGNED: every row's step begins at a multiple of 16
// bytes.
template <WeightType T, bool ALIGNED, bool GROUPED, int X_TILES, int W_TILES, int WAVES, int X_STAGES,
          int W_STAGES, int BLOCKS = 1>
struct GemmPlan {
  using Lane = LaneWeights<T>;
  static constexpr WeightType kType = T;
  static constexpr bool kAligned = ALIGNED, kGrouped = GROUPED;
  static constexpr int kXTiles = X_TILES, kWTiles = W_TILES, kWaves = WAVES;
  static constexpr int kM = X_TILES * kTile, kWaveN = W_TILES * kTile, kN = kWaveN * WAVES;
  static constexpr int kXStages = X_STAGES, kWStages = W_STAGES, kBlocks = BLOCKS;
  static constexpr int kParts = Lane::kStep / kPanel;  // tiles of x in a step of W

  // A row of a step in shared memory keeps the place in 16 bytes that it has in device memory. An odd number
  // of pieces spreads the rows over the banks.
  static constexpr int kStepBytes = Lane::kStep / packing(T).values * packing(T).bytes;
  static constexpr int kPieces = (kStepBytes + (ALIGNED ? 0 : 16 - Lane::kAlign) + 15) / 16;
  static constexpr int kStride = 16 * (kPieces | 1);
  // Rows are whole steps: no piece lies beyond one.
  static constexpr bool kWhole = ALIGNED && packing(T).values == Lane::kStep;

  static constexpr int kXBytes = kM * kPanel * 2, kWBytes = kN * kStride;
  static constexpr int kSharedBytes = X_STAGES * kXBytes + W_STAGES * kWBytes;

  // Of x in one product of a group: as many as divide it evenly, 16, 8 or 4 tiles.
  static constexpr int kGroupX = X_TILES % 16 == 0 ? 16 : X_TILES % 8 == 0 ? 8 : kGroupTiles;

  // Tiles of x are copied this many ahead. A group's products are still being made while the next are asked
  // for, so its tiles live one turn longer.
  static constexpr int kAhead = X_STAGES - (GROUPED ? 2 : 1);
  static_assert(kAhead >= (GROUPED ? 2 : 1), "too few stages for x");
  // A step of W is asked for (W_STAGES − 1)·kParts turns (grouped: W_STAGES·kParts) before it is needed, with
  // the tile of x that is kAhead of that turn; by the time that tile has to be there, so has the step.
  static_assert(GROUPED ? kAhead - 1 <= (W_STAGES - 1) * kParts : kAhead <= (W_STAGES - 1) * kParts,
                "a step of W would be waited for too late");
  static_assert(!GROUPED || (W_TILES == 1 && X_TILES % kGroupTiles == 0 && WAVES % kGroupWaves == 0));

#if defined(GRETA_HIP_HOST)
  static constexpr int kThreads = 0;  // wave_size() is a setting there
#else
  static constexpr int kThreads = kWaves * wave_size();
#endif
};

}  // namespace greta::kernels::inline GRETA_MACHINE
