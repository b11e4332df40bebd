// Double-double arithmetic: a number as the unevaluated sum of two float64, about 106 bits. Dekker 1971;
// Knuth; Hida, Li and Bailey 2001.
#pragma once

#include <cmath>

namespace greta::reference {

struct DoubleDouble {
  double high = 0, low = 0;
  DoubleDouble() = default;
  DoubleDouble(double value) : high(value) {}  // NOLINT: a float64 is one
  DoubleDouble(double h, double l) : high(h), low(l) {}
  double value() const { return high + low; }
};

// a + b = s + e exactly (Knuth's TwoSum).
inline DoubleDouble two_sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
// The same for |a| >= |b| (Dekker's FastTwoSum).
inline DoubleDouble fast_two_sum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}
// a·b = p + e exactly.
inline DoubleDouble two_product(double a, double b) {
  const double p = a * b;
  return {p, std::fma(a, b, -p)};
}

inline DoubleDouble operator-(DoubleDouble a) { return {-a.high, -a.low}; }
inline DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
  auto s = two_sum(a.high, b.high);
  const auto t = two_sum(a.low, b.low);
  s = fast_two_sum(s.high, s.low + t.high);
  return fast_two_sum(s.high, s.low + t.low);
}
inline DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + -b; }
inline DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
  const auto p = two_product(a.high, b.high);
  return fast_two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}
inline DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
  const double q1 = a.high / b.high;
  auto rest = a - b * DoubleDouble(q1);
  const double q2 = rest.high / b.high;
  rest = rest - b * DoubleDouble(q2);
  return fast_two_sum(q1, q2) + DoubleDouble(rest.high / b.high);
}

DoubleDouble sqrt(DoubleDouble x);
DoubleDouble exp(DoubleDouble x);  // 0 below -740, infinite above 709
DoubleDouble log(DoubleDouble x);  // x > 0
struct SineCosine {
  DoubleDouble sine, cosine;
};
SineCosine sine_cosine(DoubleDouble x);  // |x| under 2^30

}  // namespace greta::reference
