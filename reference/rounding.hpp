// Rounding of float64 values to the narrow types of a contract, by definition (IEEE 754, to nearest even),
// written here because the reference shares no conversions with an engine.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "reference/contract.hpp"
#include "reference/reference.hpp"

namespace greta::reference {

// A binary format: significand bits with the hidden one, exponent of the smallest normal number, largest
// finite number.
struct Format {
  int precision;
  int min_exponent;
  double largest;
};
inline constexpr Format kF16 = {11, -14, 65504.0};
inline constexpr Format kBf16 = {8, -126, 0x1.fep127};
inline constexpr Format kF32 = {24, -126, 0x1.fffffep127};

inline constexpr const Format& format_of(Rounding rounding) {
  return rounding == Rounding::f16 ? kF16 : rounding == Rounding::bf16 ? kBf16 : kF32;
}

// Adding and subtracting 2^(e + 53 - precision) with the sign of x leaves a multiple of the target's ulp,
// ties to even. A float64 subnormal has e = -1023 here, far below any target's own smallest exponent.
inline double round_to(const Format& format, double x) {
  const auto exponent = static_cast<int64_t>((std::bit_cast<uint64_t>(x) >> 52) & 0x7ff);
  const auto e = exponent > format.min_exponent + 1023 ? exponent : int64_t{format.min_exponent} + 1023;
  if (exponent >= 1023 + 200)
    return std::isnan(x) ? x : std::copysign(std::numeric_limits<double>::infinity(), x);
  const double magic =
      std::copysign(std::bit_cast<double>(static_cast<uint64_t>(e + 53 - format.precision) << 52), x);
  const double rounded = (x + magic) - magic;
  if (std::abs(rounded) > format.largest) return std::copysign(std::numeric_limits<double>::infinity(), x);
  return std::copysign(rounded, x);  // a zero keeps the sign
}

inline double round_to(Rounding rounding, double x) { return round_to(format_of(rounding), x); }

// Unit roundoff: half the distance from 1 to the next number.
inline double unit_roundoff(Rounding rounding) { return std::ldexp(1.0, -format_of(rounding).precision); }

// The distance between neighbours of the format at x; of infinity and NaN the same again.
inline double ulp(const Format& format, double x) {
  if (!std::isfinite(x)) return std::abs(x);
  const int exponent = x == 0 ? format.min_exponent : std::max(std::ilogb(x), format.min_exponent);
  return std::ldexp(1.0, exponent + 1 - format.precision);
}

Matrix rounded(Rounding rounding, const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values);

}  // namespace greta::reference
