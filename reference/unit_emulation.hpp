// For tests: what the matrix units compute, block by block, from the papers named in unit.hpp, with integers.
// Nothing of the reference's is used but its types.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "reference/contract.hpp"

namespace greta::reference {

// Narrow operands held as double.
using Narrow = std::span<const double>;

inline int smallest_exponent(Rounding type) { return type == Rounding::f16 ? -14 : -126; }

// A zero has no exponent that matters.
inline int exponent_of(double x, int smallest) {
  return x == 0 ? -100000 : std::max(std::ilogb(x), smallest);
}
inline int exponent_of_product(double a, double b, Rounding type) {
  if (a == 0 || b == 0) return -100000;
  return exponent_of(a, smallest_exponent(type)) + exponent_of(b, smallest_exponent(type));
}

inline double toward_zero_to_f32(double x) {
  const int last = std::max(std::ilogb(x), -126) - 23;
  return x == 0 ? 0 : std::ldexp(std::trunc(std::ldexp(x, -last)), last);
}

inline double hopper_block(double c, Narrow a, Narrow b, Rounding type) {
  int largest = exponent_of(c, -126);
  for (size_t k = 0; k < a.size(); ++k) largest = std::max(largest, exponent_of_product(a[k], b[k], type));
  if (largest < -10000) return 0;
  const auto cut = [largest](double x) { return static_cast<int64_t>(std::ldexp(x, 25 - largest)); };
  int64_t sum = cut(c);
  for (size_t k = 0; k < a.size(); ++k) sum += cut(a[k] * b[k]);
  return toward_zero_to_f32(std::ldexp(static_cast<double>(sum), largest - 25));
}

inline double cdna3_group(double c, Narrow a, Narrow b, Rounding type) {
  int of_products = -100000;
  for (size_t k = 0; k < a.size(); ++k)
    of_products = std::max(of_products, exponent_of_product(a[k], b[k], type));
  const int largest = std::max(of_products, exponent_of(c, -126));
  if (largest < -10000) return 0;
  int64_t sum = 0;
  if (of_products > -10000)
    for (size_t k = 0; k < a.size(); ++k)
      sum += static_cast<int64_t>(std::ldexp(a[k] * b[k], 24 - of_products));
  const double products = std::floor(std::ldexp(static_cast<double>(sum), of_products - 24 + 31 - largest));
  const double of_c = std::floor(std::ldexp(c, 24 - largest));
  return static_cast<float>(std::ldexp(products, largest - 31) + std::ldexp(of_c, largest - 24));
}

inline double flushed(double x, int smallest) { return std::abs(x) < std::ldexp(1.0, smallest) ? 0 : x; }

// `width`: products of a tree, 2 or 4.
inline double cdna2_tree(double c, Narrow a, Narrow b, Rounding type, size_t width) {
  const auto add = [](double x, double y) {
    return flushed(static_cast<double>(static_cast<float>(x) + static_cast<float>(y)), -126);
  };
  const auto product = [&](size_t k) {
    const double x = flushed(a[k], smallest_exponent(type)), y = flushed(b[k], smallest_exponent(type));
    return flushed(static_cast<double>(static_cast<float>(x * y)), -126);
  };
  double sum = add(product(0), product(1));
  if (width == 4) sum = add(sum, add(product(2), product(3)));
  return add(flushed(c, -126), sum);
}

// A unit's instruction on 16 products.
inline double unit_block(Unit unit, double c, Narrow a, Narrow b, Rounding type, size_t width = 4) {
  if (unit == Unit::hopper) return hopper_block(c, a, b, type);
  const size_t group = unit == Unit::cdna3 ? 8 : width;
  for (size_t k = 0; k < a.size(); k += group) {
    const auto x = a.subspan(k, group), y = b.subspan(k, group);
    c = unit == Unit::cdna3 ? cdna3_group(c, x, y, type) : cdna2_tree(c, x, y, type, width);
  }
  return c;
}

// K terms in `parts` runs of whole blocks, each in an accumulator of its own, then added up in f32 one after
// another; and how long the longest path is (docs/contracts.md).
inline double unit_dot(Unit unit, std::vector<double> a, std::vector<double> b, Rounding type, size_t parts,
                       size_t width = 4) {
  const size_t blocks = (a.size() + 15) / 16, share = (blocks + parts - 1) / parts;
  a.resize(blocks * 16, 0.0);
  b.resize(blocks * 16, 0.0);
  double total = 0;
  for (size_t first = 0; first < blocks; first += share) {
    double c = 0;
    for (size_t block = first; block < std::min(first + share, blocks); ++block)
      c = unit_block(unit, c, Narrow(a).subspan(block * 16, 16), Narrow(b).subspan(block * 16, 16), type,
                     width);
    total = first == 0 ? c : static_cast<float>(total + c);
  }
  return total;
}
inline int unit_chain(size_t terms, size_t parts) {
  const size_t blocks = (terms + 15) / 16, share = (blocks + parts - 1) / parts;
  return static_cast<int>(16 * share + (blocks + share - 1) / share - 1);
}

}  // namespace greta::reference
