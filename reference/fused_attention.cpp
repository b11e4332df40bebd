// Attention in one kernel, from q, keys and values to the output, with a running maximum (flash attention) or
// in parts (split-K): o = Σ_t e_t v_t / Z, e_t = e^(x_t − max), Z = Σ e_t, x_t = Σ_d q_d k_td / sqrt(Dh).
//
// The errors, to first order, with π = e/Z:
//   a score's error δ_t makes e_t(1 + δ_t): Σ π_t δ_t (v_t − o), so what all weights share cancels. At most
//     sqrt(Σ π δ²)·sqrt(Σ π (v − o)²), by Cauchy and Schwarz; where the δ are independent, the root of
//     Σ (π_t δ_t (v_t − o))². δ_t is the product's error, its `rounds`, u·(max − x_t) for the differences
//     (those of the rescalings add up to what is left to the maximum), exp's ulps, once and for each
//     rescaling, and the rescalings' products;
//   e_t rounded to p: e_t v_t·u_p, at least 2^-25 v_t in f16, over Z. Many equal weights are rounded alike:
//     their mean counts as one error of o, the rest as independent;
//   the two sums over t: as any dot product with `sum` additions and `rescales` roundings more of the running
//     sum;
//   the division.
#include <fmt/format.h>
#include <tbb/parallel_for.h>

#include "reference/attention.hpp"
#include "reference/hypotheses/stored.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;
using Array = Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index kRows = 64;  // of a task

struct Operands {
  Matrix q, keys, values;  // as multiplied
};

Operands operands(const Request& in) {
  const auto of_cache = [&](size_t index) {
    return taken(*in.contract.unit, *in.contract.w, read_cache(in, index == 2, in.operand(index)));
  };
  return {in.operand(0), of_cache(1), of_cache(2)};
}

// Rows of one head. Weights are relative to the row's largest.
struct Weights {
  Array e;                            // 0 where masked
  Array certain, rms, linear;         // of a weight, relative
  Array p_certain, p_rms, p_flushed;  // of e rounded to p
  Eigen::ArrayXd sum;                 // Z
};

struct Tile {
  Index h, s, rows;
};

void weigh(const Request& in, const Operands& of, const Tile& tile, Weights& out) {
  const auto& c = in.contract;
  const Index Dh = in.config().head_dim, T = of.keys.rows();
  Errors x = Errors::of_shape(tile.rows, T);
  dot_products(left_of(c, of.q.block(tile.s, tile.h * Dh, tile.rows, Dh)),
               of.keys.middleCols(kv_head(in, tile.h) * Dh, Dh), arithmetic_of(c, score_scale(in).value), x,
               0);
  const double exp_error = *c.exp_ulp * kUlp, rescales = *c.rescales,
               shared = exp_error * (1 + rescales) + rescales * kU, rounds = *c.rounds * kU;
  const Format p = format_of(*c.p);
  const double u_p = *c.p == Rounding::f32 ? 0 : unit_roundoff(*c.p),
               p_normal = u_p == 0 ? 0 : std::ldexp(1.0, p.min_exponent), p_least = u_p * p_normal;
  for (auto* array :
       {&out.e, &out.certain, &out.rms, &out.linear, &out.p_certain, &out.p_rms, &out.p_flushed})
    array->setZero(tile.rows, T);
  out.sum.setZero(tile.rows);
  for (Index i = 0; i < tile.rows; ++i) {
    double largest = -std::numeric_limits<double>::infinity();
    for (Index t = 0; t < T; ++t)
      if (sees(in, tile.s + i, t) && !(x.value(i, t) <= largest)) {
        largest = x.value(i, t);
        if (std::isnan(largest)) break;
      }
    for (Index t = 0; t < T; ++t) {
      if (!sees(in, tile.s + i, t)) continue;
      const double score = x.value(i, t), distance = in.variant.softmax_keeps_max ? score : score - largest;
      double e = in.variant.softmax_base_2 ? std::exp2(distance) : std::exp(distance);
      if (in.variant.softmax_keeps_max) e = in_f32(e);
      const bool summed = !in.variant.softmax_sum_short || t + 1 < T;
      if (summed) out.sum(i) += e;
      if (in.variant.softmax_keeps_max && u_p > 0 && e > p.largest)
        e = std::numeric_limits<double>::infinity();
      const double own = rounds * std::abs(score) + kTiny + kU * std::abs(distance) + shared;
      out.e(i, t) = e;
      out.certain(i, t) = std::expm1(x.certain(i, t) + own);
      out.linear(i, t) = std::expm1(x.linear(i, t) + own);
      out.rms(i, t) = x.rms(i, t);
      const bool flushed = *c.unit == Unit::cdna2 && e < p_normal;
      const double rounding = std::min(e, std::max(u_p * e, p_least));
      out.p_certain(i, t) = flushed ? e : rounding;
      out.p_rms(i, t) = flushed ? 0 : rounding;
      out.p_flushed(i, t) = flushed ? e : 0;
    }
    if (largest == -std::numeric_limits<double>::infinity())  // it sees nothing: 0/0
      out.sum(i) = std::numeric_limits<double>::quiet_NaN();
  }
}

Matrix times(const Array& weights, const Matrix& values) { return weights.matrix() * values; }

// What a value that is not finite makes of the rows that see it, and of no others.
void spread_non_finite(const Request& in, const Tile& tile, const Matrix& values, const Array& e, RowsOut y) {
  for (Index t = 0; t < values.rows(); ++t)
    for (Index d = 0; d < values.cols(); ++d) {
      if (std::isfinite(values(t, d))) continue;
      for (Index i = 0; i < tile.rows; ++i)
        if (sees(in, tile.s + i, t)) y(i, d) += e(i, t) * values(t, d);
    }
}

void attend(const Request& in, const Operands& of, const Tile& tile, Errors& errors) {
  thread_local Weights w;
  weigh(in, of, tile, w);
  const auto& c = in.contract;
  const Index Dh = in.config().head_dim, T = of.values.rows(), column = tile.h * Dh;
  const Matrix seen = of.values.middleCols(kv_head(in, tile.h) * Dh, Dh);
  const Matrix v = seen.unaryExpr([](double x) { return std::isfinite(x) ? x : 0.0; });
  const Matrix squares = v.cwiseAbs2(), sizes = v.cwiseAbs();

  const double sum = *c.sum, rescales = *c.rescales;
  Errors sums = Errors::of_shape(tile.rows, Dh);
  if (leans(*c.unit)) sums.lean = sums.value;
  dot_products(DotOperand(w.e.matrix(), least_magnitude(*c.unit, *c.p)), v.transpose(),
               {.chain = sum, .unit = *c.unit, .type = *c.w, .rescales = rescales}, sums, 0);
  if (!seen.allFinite()) spread_non_finite(in, tile, seen, w.e, sums.value);

  const Array random = (w.e * w.rms).square() + w.p_rms.square();
  const Matrix second = times(w.e, squares), random_second = times(random, squares),
               random_first = times(random, v);
  const bool narrow = *c.p != Rounding::f32;
  const Matrix none = Matrix::Zero(tile.rows, Dh), p_certain = narrow ? times(w.p_certain, sizes) : none,
               flushed = *c.unit == Unit::cdna2 ? times(w.p_flushed, sizes) : none;
  const double division = *c.div_ulp * kUlp, largest = sizes.size() > 0 ? sizes.maxCoeff() : 0,
               additions = gamma(sum + rescales);
  for (Index i = 0; i < tile.rows; ++i) {
    const double Z = w.sum(i);
    auto of_row = [&](Matrix& m) { return m.row(tile.s + i).segment(column, Dh); };
    of_row(errors.value) = sums.value.row(i) / Z;
    if (!std::isfinite(Z)) continue;
    const auto e = w.e.row(i);
    const double underflow = static_cast<double>(T) * kNormal / Z, mean = (e * w.certain.row(i)).sum() / Z,
                 certain = std::sqrt((e * w.certain.row(i).square()).sum() / Z),
                 linear = std::sqrt((e * w.linear.row(i).square()).sum() / Z),
                 alike = w.p_rms.row(i).sum() / Z, independent = random.row(i).sum(),
                 concentration = e.square().sum() / (Z * Z),
                 denominator = kU * std::sqrt((sum + rescales) * (concentration + 1)),
                 left = 1 - mean - additions - underflow - division,
                 growth = left > 0 ? (1 + w.certain.row(i).maxCoeff()) / left
                                   : std::numeric_limits<double>::infinity();
    for (Index d = 0; d < Dh; ++d) {
      const double o = sums.value(i, d) / Z, size = std::abs(o),
                   spread = std::sqrt(std::max(0.0, second(i, d) / Z - o * o) + 0x1p-40 * second(i, d) / Z),
                   scattered =
                       std::max(0.0, random_second(i, d) - 2 * o * random_first(i, d) + o * o * independent),
                   floor = underflow * largest + size * (underflow + division);
      const auto at = [&](Matrix& m) -> double& { return m(tile.s + i, column + d); };
      at(errors.certain) =
          growth * ((sums.certain(i, d) + p_certain(i, d)) / Z + size * additions + certain * spread + floor);
      at(errors.linear) = (sums.linear(i, d) + flushed(i, d)) / Z + size * alike + linear * spread + floor;
      at(errors.rms) =
          std::sqrt(std::pow(sums.rms(i, d) / Z, 2) + std::pow(size * denominator, 2) + scattered / (Z * Z));
      if (errors.lean.size() > 0) at(errors.lean) = sums.lean(i, d) / Z;
    }
  }
}

std::string reason(const Request& in) {
  const auto& c = in.contract;
  std::string text = fmt::format(
      "attention over T={}: scores of {} terms, {}; {} roundings and the difference to the running maximum "
      "(2^-24·|max - x|), exp {} ulp; {} additions over t, {} rescalings, division {} ulp. A score's error "
      "moves o by p·error·(v - o)",
      in.call.T(), in.config().head_dim, reason_of(*c.unit, *c.w, *c.chain, 0), *c.rounds, *c.exp_ulp, *c.sum,
      *c.rescales, *c.div_ulp);
  if (*c.p != Rounding::f32)
    text += fmt::format("; p rounded to {}: {:.3g}·p·|v| each", name_of(*c.p), unit_roundoff(*c.p));
  return text;
}

}  // namespace

Errors attention(const Request& in) {
  const auto of = operands(in);
  const Index S = of.q.rows(), H = in.config().heads, blocks = (S + kRows - 1) / kRows;
  auto errors = Errors::of_shape(S, H * in.config().head_dim);
  if (leans(*in.contract.unit)) errors.lean = errors.value;
  tbb::parallel_for(Index{0}, H * blocks, [&](Index task) {
    const Index first = task % blocks * kRows;
    attend(in, of, {task / blocks, first, std::min(kRows, S - first)}, errors);
  });
  errors.reason = reason(in);
  return errors;
}

}  // namespace greta::reference
