#include <fmt/format.h>

#include "reference/stages.hpp"

namespace greta::reference {

// y = x·r·g, r = (mean(x²) + eps)^-1/2. Relative errors: the sum of squares γ_(chain+1) (all terms have one
// sign); the division by n by way of 1/n two roundings, eps one, its addition one; the root halves their sum;
// then the root's own ulps and two products.
Errors rms_norm(const Request& in) {
  const Matrix x = in.operand(0);
  const auto gain = in.model.weight(weight_of(in.model, in.stage, in.layer));
  const auto n = static_cast<double>(x.cols());
  const double eps = in.config().norm_eps, chain = *in.contract.chain, root = *in.contract.sqrt_ulp * kUlp;

  auto errors = Errors::of_shape(x.rows(), x.cols());
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    const double sum = x.row(i).squaredNorm(), total = sum + n * eps;
    const double share = total > 0 ? sum / total : 0;  // eps is not summed
    const double underflow = total > 0 ? (n + chain) * kTiny / total : 0;
    const double worst = gamma(chain + 1) * share + 4 * kU + underflow;
    const double fourth = sum > 0 ? x.row(i).cwiseAbs2().squaredNorm() / (sum * sum) : 0;  // Σx⁴ / (Σx²)²
    const double spread = share * share * ((chain + 1) * fourth + chain);
    const double scale = 1 / std::sqrt(total / n);
    // (1 - e)^-1/2 - 1 <= e/2 · (1 - e)^-3/2
    const double certain = worst / 2 / std::pow(1 - std::min(worst, 0.5), 1.5) + root + 2 * kU;
    const double rms = kU * std::sqrt(spread / 4 + 1 + 2);
    for (Eigen::Index k = 0; k < x.cols(); ++k) {
      const double g = (*gain)(0, k), y = x(i, k) * scale * g;
      const double floor = kTiny * (1 + std::abs(g));
      errors.value(i, k) = y;
      errors.certain(i, k) = std::abs(y) * certain * (1 + certain) + floor;
      errors.rms(i, k) = std::abs(y) * rms;
      errors.linear(i, k) = std::abs(y) * (root + underflow) + floor;
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
