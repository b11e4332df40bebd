// One pass over an engine's tensor and the reference: every metric at once. A comparison is always !(err <=
// bound), so that NaN fails.
#pragma once

#include <cstdint>
#include <span>

#include "datasets/tensor.hpp"

namespace greta::probes {

struct Metrics {
  int64_t count = 0;
  int64_t out_of_bound = 0;    // elements with !(err <= bound); non-finite mismatches included
  int64_t out_of_certain = 0;  // of those, beyond the certain bound: a proof
  double bound_ratio = 0;  // max err / bound; infinite on a non-finite mismatch or an error over a bound of 0
  double certain_ratio = 0;  // max err / certain
  int64_t worst = -1;        // flat index of the element with the largest bound ratio
  double worst_actual = 0, worst_expected = 0, worst_bound = 0;
  // Over the elements that are finite on both sides; max_abs is infinite on a non-finite mismatch, max_rel
  // leaves out references of 0. nmse = sum err^2 / sum reference^2. cosine: 1 when both are all zero, 0 when
  // one is.
  double max_abs = 0, max_rel = 0, mae = 0, rmse = 0, nmse = 0, cosine = 1;
  double bias_z = 0;  // mean signed error over its standard error; 0 below two elements, infinite when all
                      // errors are equal
  int64_t nan_count = 0, inf_count = 0;  // in the actual tensor
  int64_t non_finite_mismatch = 0;       // NaN or Inf where the reference has something else
  int64_t max_ulp = 0;  // units in the last place between actual and the rounded reference: compare() counts
                        // f32's, and who knows of another type asks ulp_distance()
  bool pass() const { return count > 0 && out_of_bound == 0 && non_finite_mismatch == 0; }
};

// Against the reference and its bounds. All spans have the same length (Error internal otherwise). Elements
// where both sides are the same infinity, or both are NaN, agree and stay out of the sums: what a stage makes
// of the NaN that it was given is no fault of its own (the stage that made it fails, and so does the probe
// finite). The bound of an element is its `expected`; a negative or NaN bound is one that nothing meets. The
// result depends on the values alone: not on alignment, and not on the order in which blocks are judged.
Metrics compare(std::span<const float> actual, std::span<const double> reference,
                std::span<const double> expected, std::span<const double> certain);

// A comparison in pieces: each judged on its own, in parallel if one likes, then joined in the order of the
// elements. One piece joined is compare().
struct Piece {
  Metrics metrics;  // all but what sums make
  int64_t finite = 0;
  double error = 0, magnitude = 0, square = 0, reference = 0, actual = 0,
         product = 0;  // sums over the finite ones
};
Piece compare_piece(std::span<const float> actual, std::span<const double> reference,
                    std::span<const double> expected, std::span<const double> certain);
Metrics join(std::span<const Piece> pieces);

// Two engines' tensors against each other, with one tolerance an element (empty: 0, bitwise up to the sign of
// zero and what a NaN carries).
Metrics compare(std::span<const float> actual, std::span<const float> other,
                std::span<const float> tolerance);

// The largest distance in units in the last place of `stored`, the type whose numbers `actual` holds; the
// other side is rounded to it. Elements that are not finite on both sides do not count.
int64_t ulp_distance(std::span<const float> actual, std::span<const double> reference, DType stored);
int64_t ulp_distance(std::span<const float> actual, std::span<const float> other, DType stored);

// The bias z-score of an arithmetic that truncates: `lean` is its declared mean error, an element, taken for
// right to a half of itself. What the mean error is beyond that, over its standard error; 0 within.
double bias_z(std::span<const float> actual, std::span<const double> reference, std::span<const double> lean);

}  // namespace greta::probes
