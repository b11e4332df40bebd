#include <fmt/format.h>
#include <tbb/parallel_for.h>

#include <limits>

#include "reference/attention.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string dot_reason(std::string_view what, Index terms, const Contract& contract) {
  return fmt::format("{}, {} terms, {}", what, terms,
                     reason_of(*contract.unit, *contract.w, *contract.chain, 0));
}

}  // namespace

DotArithmetic arithmetic_of(const Contract& contract, double scale) {
  return {.chain = static_cast<double>(*contract.chain),
          .extra = 0,
          .scale = scale,
          .unit = *contract.unit,
          .type = *contract.w};
}

DotOperand left_of(const Contract& contract,
                   const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values) {
  return DotOperand(taken(*contract.unit, *contract.x, values), least_magnitude(*contract.unit, *contract.x));
}

Index kv_head(const Request& in, Index h) {
  const auto& config = in.config();
  return in.variant.kv_head_modulo ? h % config.kv_heads : h / (config.heads / config.kv_heads);
}

bool sees(const Request& in, Index s, Index t) {
  if (in.variant.window && t >= *in.variant.window) return false;
  return !in.variant.mask_shift || t <= in.position(s) + *in.variant.mask_shift;
}

ScoreScale score_scale(const Request& in) {
  const double root = 1 / std::sqrt(static_cast<double>(in.config().head_dim));
  switch (in.variant.qk_scale) {
    case QkScale::none:
      return {1, 0};
    case QkScale::squared:
      return {root * root, 6};
    default:
      return {root, 3};
  }
}

// The scale 1/sqrt(Dh): two roundings more where it is computed in f32, and one of the product; squared,
// twice that.
Errors qk(const Request& in) {
  const auto& config = in.config();
  const Matrix q = in.operand(0), keys = taken(*in.contract.unit, *in.contract.w, in.operand(1));
  const Index S = q.rows(), T = keys.rows(), Dh = config.head_dim;
  const auto [scale, roundings] = score_scale(in);

  auto errors = Errors::of_shape(S, config.heads * T);
  if (leans(*in.contract.unit)) errors.lean = errors.value;
  tbb::parallel_for(Index{0}, static_cast<Index>(config.heads), [&](Index h) {
    const DotOperand x = left_of(in.contract, q.middleCols(h * Dh, Dh));
    dot_products(x, keys.middleCols(kv_head(in, h) * Dh, Dh), arithmetic_of(in.contract, scale), errors,
                 h * T);
    for (Index s = 0; s < S; ++s) {
      for (Index t = 0; t < T; ++t) {
        const Index column = h * T + t;
        const double y = std::abs(errors.value(s, column));
        errors.certain(s, column) += roundings * kU * y + kTiny;
        errors.linear(s, column) += roundings * kU * y + kTiny;
        if (sees(in, s, t)) continue;
        errors.value(s, column) = -kInfinity;
        errors.certain(s, column) = errors.rms(s, column) = errors.linear(s, column) = 0;
        if (errors.lean.size() > 0) errors.lean(s, column) = 0;
      }
    }
  });
  errors.reason =
      dot_reason("qk", Dh, in.contract) + ", and 3·2^-24·|y| for the scale; -inf above the position";
  return errors;
}

// e_i = exp(x_i − max): relative error u|x_i − max| of the subtraction (the maximum is exact) and exp's ulps;
// the sum adds the mean of those and its own additions; then the division. Where exp is subnormal in f32 a
// kernel may flush it to zero. Without the maximum there is no subtraction, and exp and the sum overflow
// where they leave f32.
Errors softmax(const Request& in) {
  const Matrix x = in.operand(0);
  const Index T = in.call.T(), heads = in.config().heads, count = T - (in.variant.softmax_sum_short ? 1 : 0);
  const double exp_error = *in.contract.exp_ulp * kUlp, division = *in.contract.div_ulp * kUlp,
               chain = *in.contract.chain, subtraction = in.variant.softmax_keeps_max ? 0 : kU;

  auto errors = Errors::of_shape(x.rows(), x.cols());
  tbb::parallel_for(Index{0}, x.rows() * heads, [&](Index row) {
    const Index s = row / heads, begin = row % heads * T;
    const auto scores = x.row(s).segment(begin, T).array();
    const double largest = in.variant.softmax_keeps_max ? 0 : scores.maxCoeff<Eigen::PropagateNaN>();
    auto value = errors.value.row(s).segment(begin, T).array();
    auto own = errors.linear.row(s).segment(begin, T).array();
    for (Index t = 0; t < T; ++t) {
      const double distance = scores(t) - largest;
      value(t) = in.variant.softmax_base_2 ? std::exp2(distance) : std::exp(distance);
      own(t) = std::isinf(distance) ? 0 : subtraction * std::abs(distance) + exp_error;
      if (in.variant.softmax_keeps_max) value(t) = in_f32(value(t));
    }
    const auto summed = value.head(count);
    const double sum = in.variant.softmax_keeps_max ? in_f32(summed.sum()) : summed.sum();
    if (std::isinf(sum)) {  // then 0 and NaN are exact
      value /= sum;
      own.setZero();
      return;
    }
    const double underflow = static_cast<double>(T) * kNormal / sum;
    const double mean = (summed * own.head(count)).sum() / sum + underflow;
    const double spread = kU * std::sqrt(chain * (summed.square().sum() / (sum * sum) + 1));
    value /= sum;
    const auto relative = own + mean + division;
    const auto floor =
        (scores == -kInfinity).select(0.0, Eigen::ArrayXXd::Constant(1, T, kNormal / sum + kNormal));
    const double total = gamma(chain);
    errors.certain.row(s).segment(begin, T).array() =
        value * ((relative + total) * (1 + 2 * (relative + total))) + floor;
    errors.rms.row(s).segment(begin, T).array() = value * spread;
    own = (value * (relative * (1 + 2 * relative)) + floor).eval();
  });
  errors.reason = fmt::format(
      "softmax over T={}, exp {} ulp, {} additions, division {} ulp in f32: certain = |p|·(2^-24·|x−max| + "
      "{}·2^-23 + their mean + γ_{} + {}·2^-23) + 2^-126; "
      "expected takes the additions as independent",
      T, *in.contract.exp_ulp, chain, *in.contract.div_ulp, *in.contract.exp_ulp, chain,
      *in.contract.div_ulp);
  return errors;
}

Errors pv(const Request& in) {
  const auto& config = in.config();
  const Matrix p = in.operand(0), values = taken(*in.contract.unit, *in.contract.w, in.operand(1));
  const Index S = p.rows(), T = values.rows(), Dh = config.head_dim,
              read = std::min<Index>(T, in.variant.window.value_or(T));

  auto errors = Errors::of_shape(S, config.heads * Dh);
  if (leans(*in.contract.unit)) errors.lean = errors.value;
  tbb::parallel_for(Index{0}, static_cast<Index>(config.heads), [&](Index h) {
    const DotOperand x = left_of(in.contract, p.middleCols(h * T, read));
    const Matrix of_head = values.block(0, kv_head(in, h) * Dh, read, Dh).transpose();
    dot_products(x, of_head, arithmetic_of(in.contract, 1), errors, h * Dh);
  });
  errors.reason = dot_reason("pv", T, in.contract);
  return errors;
}

}  // namespace greta::reference
