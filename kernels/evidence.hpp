// Kernels that look at tensors where they lie: a comparison, and what proves that a copy arrived whole. As in
// kernels.hpp: device memory, returns at once, throws kernels::LaunchError.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// What one pass over two tensors finds; `a` is the one that is judged, `b` what it should be. Sums are f64,
// over the elements that are finite on both sides.
struct Comparison {
  int64_t count;
  int64_t finite;                // on both sides
  int64_t out_of_bound;          // elements with !(|a − b| <= bound); non-finite mismatches included
  int64_t nan_count, inf_count;  // in a
  int64_t non_finite_mismatch;   // NaN or Inf on one side, and not the same on the other
  int64_t worst;                 // the first index of the largest ratio; -1: no element has one
  int64_t max_ulp;               // f32 values between a and b
  double ratio;             // max |a − b| / bound; infinite on a mismatch or an error over a bound of 0
  double max_abs, max_rel;  // max_abs: infinite on a mismatch; max_rel: |a − b| / |b|, without b = 0
  double error, magnitude, square;     // Σ a − b, Σ |a − b|, Σ (a − b)²
  double a_square, b_square, product;  // Σ a², Σ b², Σ a·b
  float worst_a, worst_b, worst_bound;
};

// How many Comparisons `workspace` holds.
int64_t comparison_workspace(int64_t count);
// bound: `count` tolerances, or null: 0 everywhere. A negative or NaN bound is one that nothing meets. The
// result depends on the values alone, bit for bit, whatever the card.
void compare(hipStream_t, const float* a, const float* b, const float* bound, int64_t count,
             Comparison* workspace, Comparison* out);

// mix(x, i) = f(x + g·(i + 1)) with SplitMix64's step g and finaliser f (Steele, Lea and Flood 2014), a
// bijection of x for each i. Words are 8 bytes, little end first; the last is filled up with zeros.
//
// checksum = Σ_i mix(word i, i) + mix(bytes, 2⁶⁴ − 1), modulo 2⁶⁴: any one changed word changes it, any other
// change all but surely (2⁻⁶⁴); the order of summation does not matter. datasets/checksum.hpp is the same on
// the host, written apart.
void checksum(hipStream_t, const void* data, int64_t bytes, uint64_t* out);

// Word i becomes mix(seed, i).
void fill_pattern(hipStream_t, uint64_t seed, void* data, int64_t bytes);

}  // namespace greta::kernels::inline GRETA_MACHINE
