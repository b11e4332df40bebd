// From rounding errors to bounds. Sources: Higham, Accuracy and Stability of Numerical Algorithms, 2002,
// chapter 3; Higham and Mary, A new approach to probabilistic rounding error analysis, SISC 2019.
//
// The value that a bound surrounds is what the declared arithmetic computes: an operand that the contract
// rounds (x = f16) is rounded here as well, by definition, since the engine's own operand is known exactly.
// So the rounding of operands is no error, the errors of equal weights (Q4_K has 16 levels a sub-block)
// cannot conspire, and only the accumulation is left.
#pragma once

#include <cmath>

#include "reference/reference.hpp"

namespace greta::reference {

inline constexpr double kU = 0x1p-24;    // unit roundoff of f32
inline constexpr double kUlp = 0x1p-23;  // one ulp of f32, relative, at most
inline constexpr double kTiny =
    0x1p-149;  // smallest positive f32: twice the largest error of a result that underflows
inline constexpr double kNormal = 0x1p-126;  // smallest normal f32
inline constexpr double kLambda = 7.13;      // P(|N(0,1)| > 7.13) = 1.0e-12

// The float64 evaluation of the bounds themselves, and of the value, is allowed one part in a million.
inline constexpr double kSlack = 1 + 0x1p-20;

// γ_n(u) = n·u / (1 − n·u); infinite where n·u reaches 1.
inline double gamma(double n, double u = kU) {
  return n * u < 1 ? n * u / (1 - n * u) : std::numeric_limits<double>::infinity();
}

// A stage's value and its errors, element by element, before they are made into bounds.
struct Errors {
  Matrix value;
  Matrix certain;  // worst case
  Matrix rms;      // errors that are independent: root of the sum of the squares of their largest sizes
  Matrix linear;   // errors of which only the largest size is known (a library's exp, a single rounding):
                   // added up
  std::string reason;
  Matrix lean;  // the mean error of a unit that truncates; empty: 0

  static Errors of_shape(Eigen::Index rows, Eigen::Index columns);  // all 0
  static Errors unset(Eigen::Index rows, Eigen::Index columns);     // who asks fills in every element
};

// expected = min(certain, λ·rms + linear). A value outside the range of f32 becomes infinite; where it is not
// finite the bounds are 0.
Bounded judge(Errors&& errors);

// The same errors as one standard deviation: an error uniform on [-e, e] has e/√3.
Matrix deviation(const Errors& errors);

// The dot product of K terms p = w∘x with its sums.
struct DotSums {
  double value;   // Σ p
  double abs;     // Σ |p|
  double square;  // Σ p²
  double peak;    // largest |partial sum| seen, in the order of k
};
struct DotError {
  double certain, rms, linear;
};

// Accumulation in f32, fused or not: each product is rounded once, each of the `chain` additions on its path
// once. Partial sums are taken for independent of order: a sum over part of the terms is a share of what the
// running sum passes through (peak) plus a random walk (‖p‖).
//   certain = γ_(chain+1+extra) Σ|p| + u|y|,  rms² = u² ((chain+1+extra)‖p‖² + chain·peak²),  linear = u|y|
// plus, for products that underflow, 2^-149 each. `extra`: roundings of a weight on its way to f32.
inline DotError dot_error(const DotSums& dot, double terms, double chain, double extra) {
  const double floor = (terms + chain) * kTiny;
  const double stored = kU * std::abs(dot.value) + floor;
  const double rms = kU * std::sqrt((chain + 1 + extra) * dot.square + chain * dot.peak * dot.peak);
  return {gamma(chain + 1 + extra) * dot.abs + stored, rms, stored};
}

}  // namespace greta::reference
