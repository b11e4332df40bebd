// What the unit that multiplies and adds does to a sum of products: an error model each. Sources: Fasi,
// Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ CS 2021; Xie et al.,
// MMA-Sim, arXiv 2511.10909; Blanchard, Higham and Mary, Mixed precision block fused multiply-add, SISC 2020.
//
// A unit takes blocks of 16 products and adds each to the accumulator c; operands are f16 or bf16, products
// are exact, u = 2^-24. E is a power of two: the largest of a block's exponents, 2^e <= |value| for normal
// numbers.
//   ieee    one fused multiply-add, or a product and an addition, after another, to nearest even.
//   cdna2   subnormal operands, products and sums are 0; trees of four (bf16 without _1k: of two) products to
//           nearest even, each tree then added to c.
//   cdna3   groups of eight: each product is cut toward zero to a multiple of 2^-24·E of the group's
//   products;
//           their sum is floored to a multiple of 2^-31·E, c to one of 2^-24·E (E now of c, too); what they
//           add up to is rounded to nearest even.
//   hopper  the block's 16 products and c are each cut toward zero to a multiple of 2^-25·E (E of all 17),
//   and
//           their sum is cut toward zero to f32.
// A subnormal operand counts with the exponent of its type's smallest normal number: so E may be larger than
// every product, and magnitudes are taken with operands of at least that size.
//
// To add a unit: its name in contract.hpp, its errors in unit.cpp, an emulation of it in unit_test.cpp.
#pragma once

#include "reference/bounds.hpp"

namespace greta::reference {

// What a contract's `chain` is made of: blocks of 16 and the f32 additions outside the unit, of which there
// are fewer than 16 (docs/contracts.md).
struct UnitSteps {
  double blocks, additions;
  explicit UnitSteps(double chain) : blocks(std::ceil(chain / 16)), additions(std::fmod(chain, 16)) {}
};

// As dot_error, for sums whose abs and square are of magnitudes (see below). `rescales`: further roundings of
// the running sum.
struct UnitSum {
  Unit unit;
  Rounding type;
  double chain, extra, rescales;
};
DotError dot_error(const UnitSum& how, const DotSums& sums, double terms);

// An operand, rounded to `type`, as the unit takes it: cdna2 has no subnormal ones.
double taken(Unit unit, Rounding type, double value);
Matrix taken(Unit unit, Rounding type, const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values);

// The least magnitude that an operand other than 0 counts with in sums of |p| and p²; 0: its own.
double least_magnitude(Unit unit, Rounding type);
inline double magnitude(double value, double least) {
  return value == 0 ? 0 : std::max(std::abs(value), least);
}

// The mean error of a truncating unit, as far as value and Σ|p| tell it: of terms that add up in a straight
// line, so that the running sum is half the value on average. Good to about a half of itself where that
// holds.
bool leans(Unit unit);
double mean_error(const UnitSum& how, double value, double abs);

// "16 blocks of 16 in a hopper unit and 3 additions: expected = …": for a reason.
std::string reason_of(Unit unit, Rounding type, double chain, double extra);

}  // namespace greta::reference
