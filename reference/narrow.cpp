#include "reference/narrow.hpp"

#include <algorithm>

namespace greta::reference {
namespace {

// The exponent's bits, at least those of the format's smallest normal number.
template <const Format& kFormat>
inline int64_t exponent_bits(int64_t bits) {
  return std::max<int64_t>(bits >> 52 & 0x7ff, kFormat.min_exponent + 1023);
}
inline double power_of_two(int64_t exponent_bits) { return std::bit_cast<double>(exponent_bits << 52); }

// round_to(kFormat, x), then 0 where that is below `least`. The sums of infinity and NaN with any number are
// what they were.
template <const Format& kFormat>
inline double narrowed(double x, double least) {
  const auto bits = std::bit_cast<int64_t>(x);
  const auto magic = std::bit_cast<double>((exponent_bits<kFormat>(bits) + 53 - kFormat.precision) << 52 |
                                           (bits & std::numeric_limits<int64_t>::min()));
  const double rounded = std::copysign((x + magic) - magic, x);
  const double infinity = std::copysign(std::numeric_limits<double>::infinity(), x);
  const double in_range = std::abs(rounded) > kFormat.largest ? infinity : rounded;
  return std::abs(in_range) < least ? 0 : in_range;
}

template <const Format& kFormat>
void take_all(bool through_f32, double least, std::span<const double> in, double* out) {
  const double* x = in.data();
  const size_t count = in.size();
  if (through_f32)
    for (size_t i = 0; i < count; ++i)
      out[i] = narrowed<kFormat>(static_cast<double>(static_cast<float>(x[i])), least);
  else
    for (size_t i = 0; i < count; ++i) out[i] = narrowed<kFormat>(x[i], least);
}

template <const Format& kFormat>
bool any_near_a_middle(std::span<const double> exact, const double* narrow) {
  const double* w = exact.data();
  const size_t count = exact.size();
  int64_t any = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<int64_t>(w[i]);
    const double half = power_of_two(exponent_bits<kFormat>(bits) - kFormat.precision),
                 two_ulps = power_of_two(exponent_bits<kF32>(bits) + 2 - kF32.precision);
    const double away = std::abs(std::abs(w[i] - narrow[i]) - half);
    any |= (static_cast<double>(static_cast<float>(w[i])) != w[i]) & (away <= two_ulps) &
           (std::abs(narrow[i]) <= kFormat.largest);
  }
  return any != 0;
}

}  // namespace

void take(Unit unit, Rounding to, bool through_f32, std::span<const double> in, std::span<double> out) {
  const double least = unit == Unit::cdna2 ? std::ldexp(1.0, format_of(to).min_exponent) : 0;
  switch (to) {
    case Rounding::f16:
      return take_all<kF16>(through_f32, least, in, out.data());
    case Rounding::bf16:
      return take_all<kBf16>(through_f32, least, in, out.data());
    case Rounding::f32:  // in one step, from f32 or not
      return take_all<kF32>(false, least, in, out.data());
  }
}

Matrix taken(Unit unit, Rounding type, const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values) {
  Matrix out(values.rows(), values.cols());
  for (Eigen::Index i = 0; i < values.rows(); ++i)
    take(unit, type, false, {values.data() + i * values.outerStride(), static_cast<size_t>(values.cols())},
         {out.row(i).data(), static_cast<size_t>(values.cols())});
  return out;
}

Matrix rounded(Rounding rounding, const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values) {
  return taken(Unit::ieee, rounding, values);
}

bool may_round_either_way(const Format& format, double exact, double narrow) {
  const double as_f32 = round_to(kF32, exact);
  if (as_f32 == exact || !std::isfinite(narrow)) return false;
  const double half = 0.5 * ulp(format, exact);
  return std::abs(std::abs(exact - narrow) - half) <= 2 * ulp(kF32, exact);
}

bool any_may_round_either_way(Rounding to, std::span<const double> exact, std::span<const double> narrow) {
  switch (to) {
    case Rounding::f16:
      return any_near_a_middle<kF16>(exact, narrow.data());
    case Rounding::bf16:
      return any_near_a_middle<kBf16>(exact, narrow.data());
    case Rounding::f32:
      return false;
  }
  return true;
}

}  // namespace greta::reference
