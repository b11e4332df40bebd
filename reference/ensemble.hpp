// Chained mode's noise: the same computation in several streams, of which stream 0 is exact and the others
// carry random rounding errors; and what their spread says of the tolerance.
//
// A matrix of all streams has (reruns + 1)·S rows, stream after stream, so that one matrix product serves
// them all.
#pragma once

#include <optional>

#include "reference/dot.hpp"

namespace greta::reference {

struct Ensemble {
  int reruns;
  Eigen::Index S;
  Eigen::Index streams() const { return reruns + 1; }
  Eigen::Index rows() const { return streams() * S; }
};

// Row s of the columns [begin, begin + y.cols()) of a tensor with `width` columns: adds σ·N(0, 1) to all
// streams but 0, and gives for each element Σ_r (y_r − y_0)². Where stream 0 is not finite the sum is 0.
void perturb_row(const Ensemble&, Eigen::Index s, Matrix& y, const double* sigma, Eigen::Index begin,
                 Eigen::Index width, uint64_t key, double* sum_of_squares);

// What rounding the operands of a product to narrow types does to all its outputs, as noise on the left one:
// an element's own error u_x (fresh for every row and call), and the right side's u_w as an error of the k-th
// product that all rows share, as they share the weight: each output's deviation is u_w·‖w∘x‖ as it should
// be, and errors of different rows are correlated as they should be.
Matrix rounding_noise(const Ensemble&, Matrix x, std::optional<Rounding> x_type,
                      std::optional<Rounding> w_type, uint64_t x_key, uint64_t w_key);

// The same for x=i32: half a step of the row's fixed point at most.
Matrix fixed_noise(const Ensemble&, Matrix x, uint64_t key);

// The tolerance of each element from the sums of squares of `reruns` deviations: a Student-t quantile
// (two-sided 1e-12) times the deviation. With 12 degrees of freedom alone that quantile is about 29, so
// elements lend each other information as in Smyth (2004, Linear models and empirical Bayes): each variance
// is taken for a draw around row mean × column mean with d0 degrees of freedom, d0 estimated from how much
// the sample variances scatter and limited to 3·reruns; then s̃² = (d0·prior + R·s²)/(d0 + R), never less than
// s², with d0 + R degrees of freedom.
Matrix envelope(const Matrix& sum_of_squares, int reruns);

// The quantile itself, for `dof` degrees of freedom.
double student_quantile(double dof);

}  // namespace greta::reference
