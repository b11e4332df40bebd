#include <fmt/format.h>

#include "reference/dot.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// A row's mean and what a kernel's own may be off, for the variant that subtracts it; otherwise all 0.
struct Centre {
  double mean = 0;
  DotError error{0, 0, 0};
  double spread = 1;  // Σx² / Σ(x − mean)²: what mean(x²) − mean² loses beside a second pass
};

// The sum as a dot product with ones, the division by n by way of 1/n two roundings.
Centre centre_of(const Eigen::Ref<const Eigen::RowVectorXd>& x, double chain) {
  const auto n = static_cast<double>(x.size());
  DotSums sums{0, x.cwiseAbs().sum(), x.squaredNorm(), 0};
  for (const double value : x) {
    sums.value += value;
    sums.peak = std::max(sums.peak, std::abs(sums.value));
  }
  const double mean = sums.value / n;
  const auto error = dot_error(sums, n, chain, 0);
  const double division = 2 * kU * std::abs(mean), about = (x.array() - mean).matrix().squaredNorm();
  return {mean,
          {error.certain / n + division, error.rms / n, error.linear / n + division},
          about > 0 ? sums.square / about : 1};
}

}  // namespace

// y = x·r·g, r = (mean(x²) + eps)^-1/2. Relative errors: the sum of squares γ_(chain+1) (all terms have one
// sign); the division by n by way of 1/n two roundings, eps one, its addition one (outside the root both
// count whole); the root halves their sum; then the root's own ulps and two products. With the mean m
// subtracted, x stands for x − m, off by m's error and one rounding; those move the sum of squares only in
// second order for Σ(x − m) = 0, but for each term's own rounding and what mean(x²) − m² cancels.
Errors rms_norm(const Request& in) {
  const auto& variant = in.variant;
  Matrix x = in.operand(0);
  const auto gain = reader_of(in, weight_of(in)).whole();
  const auto n = static_cast<double>(x.cols());
  const bool outside = variant.eps_outside_root, centred = variant.mean_subtracted;
  const double eps = variant.norm_eps.value_or(in.config().norm_eps), chain = *in.contract.chain,
               root = *in.contract.sqrt_ulp * kUlp, gain_rounding = variant.gain == Gain::plus_one ? 1 : 0;

  auto errors = Errors::of_shape(x.rows(), x.cols());
  for (Index i = 0; i < x.rows(); ++i) {
    const auto centre = centred ? centre_of(x.row(i), chain) : Centre{};
    if (centred) x.row(i).array() -= centre.mean;
    const double sum = x.row(i).squaredNorm(), total = outside ? sum : sum + n * eps;
    const double share = total > 0 ? sum / total * centre.spread : 0;  // eps is not summed
    const double underflow = total > 0 ? (n + chain) * kTiny / total : 0;
    const double worst = gamma(chain + 1 + (centred ? 2 : 0)) * share + (outside ? 8 : 4) * kU + underflow;
    const double fourth = sum > 0 ? x.row(i).cwiseAbs2().squaredNorm() / (sum * sum) : 0;  // Σx⁴ / (Σx²)²
    const double spread = share * share * ((chain + 1) * fourth + chain);
    const double mean_root = std::sqrt(total / n), scale = 1 / (outside ? mean_root + eps : mean_root);
    // (1 - e)^-1/2 - 1 <= e/2 · (1 - e)^-3/2
    const double certain =
        worst / 2 / std::pow(1 - std::min(worst, 0.5), 1.5) + root + (2 + gain_rounding) * kU;
    const double rms = kU * std::sqrt(spread / 4 + 1 + 2 + gain_rounding + (outside ? 2 : 0));
    for (Index k = 0; k < x.cols(); ++k) {
      const double weight = (*gain)(0, k);
      const double g = variant.gain == Gain::weight ? weight : variant.gain == Gain::none ? 1 : 1 + weight;
      const double y = x(i, k) * scale * g, moved = centred ? scale * std::abs(g) : 0;
      const double floor = kTiny * (1 + std::abs(g));
      errors.value(i, k) = y;
      errors.certain(i, k) = std::abs(y) * certain * (1 + certain) + floor;
      errors.rms(i, k) = std::abs(y) * rms;
      errors.linear(i, k) = std::abs(y) * (root + underflow) + floor;
      if (!centred) continue;
      const double subtraction = kU * std::abs(x(i, k));
      errors.certain(i, k) += moved * (centre.error.certain + subtraction) * (1 + 2 * certain);
      errors.rms(i, k) = std::hypot(errors.rms(i, k), moved * std::hypot(centre.error.rms, subtraction));
      errors.linear(i, k) += moved * centre.error.linear;
    }
  }
  errors.reason = fmt::format(
      "rmsnorm n={}, {} additions in f32, root {} ulp: expected = |y|·(7.13·2^-24·sqrt(({}·Σx⁴/(Σx²)² + "
      "{})/4 + 3) + {}·2^-23); "
      "certain = |y|·((γ_{} + 4·2^-24)/2 + 2·2^-24 + {}·2^-23)",
      x.cols(), chain, *in.contract.sqrt_ulp, chain + 1, chain, *in.contract.sqrt_ulp, chain + 1,
      *in.contract.sqrt_ulp);
  return errors;
}

}  // namespace greta::reference
