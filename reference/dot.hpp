// Dot products of all rows of x with all rows of w, with the sums that their error bounds need.
#pragma once

#include <optional>

#include "reference/unit.hpp"

namespace greta::reference {

using Rows =
    Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;  // rows of consecutive values, any distance apart
using RowsOut = Eigen::Ref<Matrix, 0, Eigen::OuterStride<>>;

// y = x · wᵀ (accumulate: y += x · wᵀ), in float64, on one thread.
void multiply(const Rows& x, const Rows& w, RowsOut y, bool accumulate = false);

// Sums of |p| and p² over many rows are made in f32, twice as fast, and only ever come out too large: a row's
// values are brought to at most 2 by a power of two of its own; each of a block's kMagnitudeTerms terms may
// then have lost 2^-24 of itself in each of its roundings, or 2^-122 where it underflowed, and that much is
// added.
inline constexpr Eigen::Index kMagnitudeTerms = 1 << 14;
class Magnitudes {
 public:
  // |v| or `least` for each value v other than 0.
  void set(const Rows& values, double least);
  // abs and square: Σ_k |x_k w_k| and Σ_k (x_k w_k)² of every row of x with every row of w.
  static void products(const Magnitudes& x, const Magnitudes& w, Matrix& abs, Matrix& square);

 private:
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static void add(const Floats& x, const Floats& w, Matrix& sums);
  Floats abs_, square_;
  std::vector<double> scale_;  // of a row: what 1 stands for
};

// The left side, prepared once for many tiles of the right side. `least`: the least magnitude that a value
// other than 0 counts with.
struct DotOperand {
  explicit DotOperand(Matrix values, double least = 0);
  bool many() const;  // rows: then products of matrices are worth it
  Matrix value, abs;
  Magnitudes magnitudes;  // of many rows
};

// errors[:, column + j] of x · w_jᵀ, each scaled by `scale`; chain and extra as in dot_error. errors.lean is
// filled in where there is one.
struct DotArithmetic {
  double chain = 0;
  double extra = 0;
  double scale = 1;
  Unit unit = Unit::ieee;
  Rounding type = Rounding::f32;  // of the operands
  double rescales = 0;            // products of the running sum with a factor, each rounded once
};
void dot_products(const DotOperand& x, const Rows& w, const DotArithmetic& arithmetic, Errors& errors,
                  Eigen::Index column);

}  // namespace greta::reference
