#include "reference/double_double.hpp"

#include <limits>
#include <utility>

namespace greta::reference {
namespace {

// The constants in two parts, from 40 decimal digits.
const DoubleDouble kLog2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
const DoubleDouble kHalfPi = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};

DoubleDouble scaled(DoubleDouble x, int exponent) {
  return {std::ldexp(x.high, exponent), std::ldexp(x.low, exponent)};
}

// Σ x^n/n! from n = `first` in steps of `step`, the signs alternating by `sign`; |x| < 0.8.
DoubleDouble series(DoubleDouble x, int first, int step, double sign) {
  DoubleDouble term = 1, sum = 0;
  for (int n = 1; n <= first; ++n) term = term * x / DoubleDouble(n);
  for (int n = first; n < 48; n += step) {
    sum = sum + term;
    for (int i = n + 1; i <= n + step; ++i) term = term * x / DoubleDouble(i);
    term = term * DoubleDouble(sign);
  }
  return sum;
}

}  // namespace

DoubleDouble sqrt(DoubleDouble x) {
  if (!(x.high > 0)) return std::sqrt(x.high);
  const DoubleDouble y = std::sqrt(x.high);  // Newton: y + (x − y²)/(2y)
  return y + (x - y * y) / scaled(y, 1);
}

DoubleDouble exp(DoubleDouble x) {
  if (std::isnan(x.high)) return x;
  if (x.high < -740) return 0.0;
  if (x.high > 709) return std::numeric_limits<double>::infinity();
  const int k = static_cast<int>(std::nearbyint(x.high / kLog2.high));
  return scaled(series(x - kLog2 * DoubleDouble(k), 0, 1, 1), k);
}

DoubleDouble log(DoubleDouble x) {
  DoubleDouble y = std::log(x.high);  // Newton twice: y + x·e^-y − 1
  for (int i = 0; i < 2; ++i) y = y + x * exp(-y) - DoubleDouble(1);
  return y;
}

SineCosine sine_cosine(DoubleDouble x) {
  const double quarter = std::nearbyint(x.high / kHalfPi.high);
  const auto rest = x - kHalfPi * DoubleDouble(quarter);
  SineCosine out{series(rest, 1, 2, -1), series(rest, 0, 2, -1)};
  const auto turns = (static_cast<long long>(quarter) % 4 + 4) % 4;
  for (long long i = 0; i < turns; ++i) out = {out.cosine, -out.sine};
  return out;
}

}  // namespace greta::reference
