#include "reference/half_sum.hpp"

#include "reference/rounding.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

constexpr double kHuge = 0x1p100;  // so that infinity stays what it is

// round_to(kF16, x) without a branch, for |x| far below 2^900, so that a loop over it is vectorised.
inline double half_of(double x) {
  const auto bits = std::bit_cast<int64_t>(x);
  const int64_t e = std::max<int64_t>(bits >> 52 & 0x7ff, kF16.min_exponent + 1023);
  const auto magic = std::bit_cast<double>((e + 53 - kF16.precision) << 52 | (bits & INT64_MIN));
  const double rounded = (x + magic) - magic;
  const double infinity = std::copysign(std::numeric_limits<double>::infinity(), x);
  return std::abs(rounded) > kF16.largest ? infinity : rounded;
}

// The ends of s for one row of x and all columns of wt [terms, columns].
void follow(const double* x, const Matrix& wt, Eigen::ArrayXd& low, Eigen::ArrayXd& high) {
  low.setZero(wt.cols());
  high.setZero(wt.cols());
  double *l = low.data(), *h = high.data();
  const Index columns = wt.cols();
  for (Index k = 0; k < wt.rows(); ++k) {
    const double factor = x[k];
    const double* w = wt.row(k).data();
    for (Index j = 0; j < columns; ++j) {
      const double p = factor * w[j], bottom = l[j] + p, top = h[j] + p;
      const double product = kU * std::abs(p) + kTiny;  // where it is rounded before it is added
      l[j] = half_of(bottom - (product + kU * (std::min(std::abs(bottom), kHuge) + product)));
      h[j] = half_of(top + (product + kU * (std::min(std::abs(top), kHuge) + product)));
    }
  }
}

// Its middle and half width. Where one end alone overflows nothing is known of it.
std::pair<double, double> middle(double low, double high) {
  if (low == high || std::isnan(low) || std::isnan(high)) return {high, 0};
  if (std::isinf(low)) return {high, -low};
  if (std::isinf(high)) return {low, high};
  return {0.5 * (low + high), 0.5 * (high - low)};
}

}  // namespace

// The f16 sum s is one more term of the f32 sum of the rest, whose terms may be added one by one: γ·|s| and,
// by the triangle inequality, u·sqrt((n + chain)·s²) more than the rest alone has, the rounding of one
// addition more.
void half_sum_products(const DotOperand& x, const Rows& w, const DotArithmetic& arithmetic, Errors& errors,
                       Index column) {
  const Index half = w.cols() / 2, rest = w.cols() - half;
  const DotOperand x_rest(x.value.rightCols(rest), least_magnitude(arithmetic.unit, arithmetic.type));
  const DotArithmetic of_rest{.chain = std::max(arithmetic.chain, static_cast<double>(rest)),
                              .extra = arithmetic.extra,
                              .unit = arithmetic.unit,
                              .type = arithmetic.type};
  dot_products(x_rest, w.rightCols(rest), of_rest, errors, column);
  const Matrix wt = w.leftCols(half).transpose();
  const double steps = of_rest.chain + 2 + of_rest.extra;
  Eigen::ArrayXd low, high;
  for (Index i = 0; i < x.value.rows(); ++i) {
    follow(x.value.row(i).data(), wt, low, high);
    for (Index j = 0; j < w.rows(); ++j) {
      const auto [s, doubt] = middle(low(j), high(j));
      double& y = errors.value(i, column + j);
      const double stored = kU * (std::abs(s) + std::abs(y)) + kTiny + doubt;
      y += s;
      errors.certain(i, column + j) += gamma(steps) * std::abs(s) + stored;
      errors.rms(i, column + j) += kU * std::sqrt(2 * steps) * std::abs(s);
      errors.linear(i, column + j) += stored;
    }
  }
}

}  // namespace greta::reference
