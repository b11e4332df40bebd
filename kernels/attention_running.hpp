// The running softmax of 16 rows of scores in a wave's accumulators, for the kernels that go through the
// matrix unit. Private to kernels/.
#pragma once

#include "kernels/attention.hpp"
#include "kernels/attention_rows.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// The running softmax of a wave's 16 rows.
struct RunningRows {
  float maximum[kLaneRowStorage];  // of the products q · k
  float shift[kLaneRowStorage];    // what is added to a scaled product: −scale · maximum, rounded
  float sum[kLaneRowStorage];      // this lane's columns only, until the end
  __device__ __forceinline__ void begin() {
    for (int i = 0; i < kLaneRowStorage; ++i) maximum[i] = -INFINITY, shift[i] = INFINITY, sum[i] = 0;
  }
};

// Whether register r is of a row below ROWS in some lane: lane 0's rows are the least. Known when this is
// compiled.
template <int ROWS>
__device__ __forceinline__ bool is_of_rows(int r) {
  return acc_cell(0, r).row < ROWS;
}

// Scores become their exponentials; what the sums so far must be multiplied by goes to `factor`. Rows from
// ROWS on are nobody's.
template <int ROWS = kTile, int TILES>
__device__ __forceinline__ void exponentials(FragmentAcc (&scores)[TILES], float scale, RunningRows& running,
                                             float (&factor)[kLaneRowStorage]) {
  GRETA_UNROLL
  for (int i = 0; i < lane_rows(wave_size()); ++i) {
    if (!is_of_rows<ROWS>(register_of(i))) continue;
    float largest = running.maximum[i];
    GRETA_UNROLL
    for (int t = 0; t < TILES; ++t) {
      GRETA_UNROLL
      for (int r = 0; r < fragment_elements(); ++r) {
        if (lane_row_of(r) == i) largest = fmaxf(largest, scores[t].x[r]);
      }
    }
    running.maximum[i] = row_maximum(largest);
    const float shift = -(running.maximum[i] * scale);
    factor[i] = power_of_two(shift - running.shift[i]);
    running.shift[i] = shift;
    running.sum[i] *= factor[i];
  }
  GRETA_UNROLL
  for (int t = 0; t < TILES; ++t) {
    GRETA_UNROLL
    for (int r = 0; r < fragment_elements(); ++r) {
      if (!is_of_rows<ROWS>(r)) continue;
      const int i = lane_row_of(r);
      scores[t].x[r] = power_of_two(fmaf(scores[t].x[r], scale, running.shift[i]));
      running.sum[i] += scores[t].x[r];
    }
  }
}

template <int ROWS = kTile, int TILES>
__device__ __forceinline__ void rescale(FragmentAcc (&outs)[TILES], const float (&factor)[kLaneRowStorage]) {
  bool changed = false;
  GRETA_UNROLL
  for (int i = 0; i < lane_rows(wave_size()); ++i)
    changed |= is_of_rows<ROWS>(register_of(i)) && factor[i] != 1.0f;
  if (wave_ballot(changed) == 0) return;
  GRETA_UNROLL
  for (int t = 0; t < TILES; ++t) {
    GRETA_UNROLL
    for (int r = 0; r < fragment_elements(); ++r) {
      if (is_of_rows<ROWS>(r)) outs[t].x[r] *= factor[lane_row_of(r)];
    }
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
