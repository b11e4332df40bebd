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

// The left side, prepared once for many tiles of the right side. `least`: the least magnitude that a value
// other than 0 counts with.
struct DotOperand {
  explicit DotOperand(Matrix values, double least = 0);
  Matrix value, abs, square;
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
