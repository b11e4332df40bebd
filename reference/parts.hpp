// The contract x=i32 w=parts: a packed weight's integers are multiplied with x in fixed point and added up
// exactly, sub-block by sub-block; scales and minima are multiplied in f32 behind it (docs/contracts.md).
//
// With x' = X·2^-p, p of each 256 columns, and w = integer·scale − minimum, a sub-block b of 32 or 16 terms:
//   S = Σ integer·x' (exact),  X_b = Σ x',  y = Σ_b scale·S − minimum·X_b, in f32.
// t = scale·S, m = minimum·X_b, d = t − m; A = `sum`, the additions in f32; u = 2^-24. Scale and minimum are
// products of an f16 with an integer of at most 8 bits, so exact in f32. 2^-p may be applied to S and X_b, to
// a running sum of a block of 256, or to what comes of it.
//   certain = γ_(A + 2)·Σ_b (|t| + |minimum|·Σ|x'|); 2: of S or of one x', and of the product.
//   rms²    = u²·Σ_b (2t² + 2m²), the roundings of S, of both products, and of the running sum while it holds
//             t without m; + X_b's own, min(A, 31) additions, linear over sub-blocks of the same x;
//             + u²·A·c² for the running sums of lanes, waves and slabs, which see d: c² is the largest
//             of max|Σ d|², of Σ d², and of Σ (Σ d of a lane)² for 2, 4, … 32 lanes in turns.
#pragma once

#include "reference/bounds.hpp"

namespace greta::reference {

inline constexpr int kFixedBlock = 256;  // columns with one p
// p = 29 − floor(log2 max|x|) within [-100, 100]; all 0: 0.
int fixed_exponent(const double* x, Eigen::Index count);

// A row of x in fixed point, with what a bound needs of its sub-blocks.
class FixedRow {
 public:
  // The last `left_out` terms are 0. A row with a value that is not finite is NaN throughout.
  FixedRow(const double* x, Eigen::Index count, int sub_block, Eigen::Index left_out = 0);

  std::vector<double> value;  // x', of at most 31 bits
  struct Block {
    double sum, abs, square, peak;  // of x'; peak: of its partial sums
    size_t same;  // the first sub-block of the same x' up to a sign: X_b's error is the same
  };
  std::vector<Block> blocks;
};

// A row of a weight, taken apart. `whole`: the integers are such; else (a reading that no bytes would give)
// they are any numbers, each rounded to f32.
struct WeightParts {
  std::vector<double> integers, scales, minima;
  bool whole = true;
};

struct PartsResult {
  double value, certain, rms;
};
PartsResult parts_product(const FixedRow& x, const WeightParts& w, int sub_block, double additions);

std::string reason_of_parts(int sub_block, double additions);

}  // namespace greta::reference
