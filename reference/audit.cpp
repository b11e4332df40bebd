// The reference judged: elements of a stage once more, in double-double, from the same operands. Each formula
// is written a second time here, element by element, so that a slip in the matrix form shows too.
#include <algorithm>
#include <limits>
#include <random>

#include "datasets/error.hpp"
#include "reference/audit.hpp"
#include "reference/config.hpp"
#include "reference/rope.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// One element of a stage; operands are fetched once.
class Element {
 public:
  explicit Element(const Request& in) : in_(in) {
    const auto count = operands_of(in.stage, in.layer, in.contract.op).size();
    for (size_t i = 0; i < count; ++i) operands_.push_back(in.operand(i));
    const auto weight = weight_of(in.model, in.stage, in.layer);
    if (weight.empty()) return;
    weight_ = weight;
    row_.resize(static_cast<size_t>(in.model.weight_info(weight).columns));
  }

  DoubleDouble operator()(Index s, Index column) {
    switch (in_.stage) {
      case Stage::embed:
        return embed(s, column);
      case Stage::attn_norm:
      case Stage::ffn_norm:
      case Stage::final_norm:
        return norm(s, column);
      case Stage::q_rope:
      case Stage::k_rope:
        return rope(s, column);
      case Stage::k_cache:
      case Stage::v_cache:
        return copied(s, column);
      case Stage::attn_out:
        return in_.contract.op == "attention" ? attended(s, column) : copied(s, column);
      case Stage::qk:
        return score(s, column);
      case Stage::softmax:
        return weight_of_attention(s, column);
      case Stage::pv:
        return mixed(s, column);
      case Stage::attn_residual:
      case Stage::ffn_residual:
        return two_sum(x()(s, column), y()(s, column));
      case Stage::ffn_act:
        return gated(s, column);
      default:
        return product(s, column);
    }
  }

 private:
  const Matrix& x() const { return operands_[0]; }
  const Matrix& y() const { return operands_[1]; }
  // As the contract's unit takes it: its subnormal operands are 0 where it has none.
  double narrowed(Rounding type, double value) const {
    const double rounded = round_to(type, value);
    const bool flushed =
        in_.contract.unit == Unit::cdna2 && std::abs(rounded) < (type == Rounding::f16 ? 0x1p-14 : 0x1p-126);
    return flushed ? 0 : rounded;
  }
  double of_x(double value) const { return narrowed(*in_.contract.x, value); }
  double of_w(double value) const { return narrowed(*in_.contract.w, round_to(kF32, value)); }

  // The distance between the values of x=i32 in 256 columns: 2^-29 of the largest one's power of two.
  static double step_of(const Eigen::Ref<const Eigen::RowVectorXd>& row) {
    if (!row.allFinite()) return std::numeric_limits<double>::quiet_NaN();
    int exponent = 0;
    std::frexp(row.cwiseAbs().maxCoeff(), &exponent);
    return std::clamp(std::ldexp(0x1p-30, exponent), 0x1p-100, 0x1p100);
  }

  DoubleDouble embed(Index s, Index column) {
    std::vector<double> row(static_cast<size_t>(in_.config().embedding));
    in_.model.weight_row("token_embd.weight", in_.call.tokens[static_cast<size_t>(s)], row);
    const double value = row[static_cast<size_t>(column)];
    return *in_.contract.w == Rounding::f32 ? value : of_w(value);
  }

  DoubleDouble norm(Index s, Index column) {
    in_.model.weight_row(weight_, 0, row_);
    DoubleDouble sum = 0;
    for (Index k = 0; k < x().cols(); ++k) sum = sum + two_product(x()(s, k), x()(s, k));
    const auto mean =
        sum / DoubleDouble(static_cast<double>(x().cols())) + DoubleDouble(in_.config().norm_eps);
    return two_product(x()(s, column), row_[static_cast<size_t>(column)]) / sqrt(mean);
  }

  DoubleDouble product(Index s, Index column) {
    in_.model.weight_row(weight_, column, row_);
    DoubleDouble sum = 0;
    if (in_.contract.parts) {
      double step = 0;
      for (Index k = 0; k < x().cols(); ++k) {
        if (k % 256 == 0) step = step_of(x().row(s).segment(k, std::min<Index>(256, x().cols() - k)));
        const double beyond = std::remainder(x()(s, k), step);  // of the nearest multiple, ties to even
        sum = sum + two_product(x()(s, k) - beyond, row_[static_cast<size_t>(k)]);
      }
      return sum;
    }
    for (Index k = 0; k < x().cols(); ++k)
      sum = sum + two_product(of_x(x()(s, k)), of_w(row_[static_cast<size_t>(k)]));
    return sum;
  }

  // base^(-2i/dims)/factor as exp(-2i/dims·log(base)); then in f32 as declared, times the position, in f32.
  DoubleDouble angle(Index s, Index i) const {
    const auto& config = in_.config();
    auto frequency = exp(log(config.rope_base) * DoubleDouble(-2.0 * static_cast<double>(i)) /
                         DoubleDouble(static_cast<double>(config.rope_dims)));
    if (!config.rope_factors.empty())
      frequency = frequency / DoubleDouble(config.rope_factors[static_cast<size_t>(i)]);
    const double position = in_.position(s);
    if (!in_.contract.freq_f64) return frequency * DoubleDouble(position);
    return round_to(kF32, position * round_to(kF32, frequency.value()));
  }

  DoubleDouble rope(Index s, Index column) const {
    const Index d = column % in_.config().head_dim;
    if (d >= in_.config().rope_dims) return x()(s, column);
    const auto turn = sine_cosine(angle(s, d / 2));
    const Index first = column - d % 2;
    const DoubleDouble x0 = x()(s, first), x1 = x()(s, first + 1);
    return d % 2 == 0 ? x0 * turn.cosine - x1 * turn.sine : x0 * turn.sine + x1 * turn.cosine;
  }

  Index kv_head(Index h) const { return h / (in_.config().heads / in_.config().kv_heads); }

  DoubleDouble score(Index s, Index column) const {
    const Index T = in_.call.T(), h = column / T, t = column % T, Dh = in_.config().head_dim;
    if (t > in_.position(s)) return -std::numeric_limits<double>::infinity();
    DoubleDouble sum = 0;
    for (Index d = 0; d < Dh; ++d)
      sum =
          sum + two_product(of_x(x()(s, h * Dh + d)), narrowed(*in_.contract.w, y()(t, kv_head(h) * Dh + d)));
    return sum / sqrt(DoubleDouble(static_cast<double>(Dh)));
  }

  DoubleDouble weight_of_attention(Index s, Index column) const {
    const Index T = in_.call.T(), begin = column / T * T;
    const double largest = x().row(s).segment(begin, T).maxCoeff();
    DoubleDouble sum = 0;
    for (Index t = 0; t < T; ++t) sum = sum + exp(two_sum(x()(s, begin + t), -largest));
    return exp(two_sum(x()(s, column), -largest)) / sum;
  }

  DoubleDouble mixed(Index s, Index column) const {
    const Index T = in_.call.T(), Dh = in_.config().head_dim, h = column / Dh, d = column % Dh;
    DoubleDouble sum = 0;
    for (Index t = 0; t < T; ++t)
      sum =
          sum + two_product(of_x(x()(s, h * T + t)), narrowed(*in_.contract.w, y()(t, kv_head(h) * Dh + d)));
    return sum;
  }

  DoubleDouble copied(Index s, Index column) const {
    return round_to(in_.contract.out.value_or(Rounding::f32), x()(s, column));
  }

  // Σ e^(x − max) v / Σ e^(x − max) over the positions up to the token's own.
  DoubleDouble attended(Index s, Index column) const {
    const Index T = in_.call.T(), Dh = in_.config().head_dim, h = column / Dh, d = column % Dh;
    const Matrix& v = operands_[2];
    std::vector<DoubleDouble> scores;
    for (Index t = 0; t <= in_.position(s); ++t) scores.push_back(score(s, h * T + t));
    double largest = -std::numeric_limits<double>::infinity();
    for (const auto& x : scores) largest = std::max(largest, x.value());
    DoubleDouble sum = 0, mixed = 0;
    for (size_t t = 0; t < scores.size(); ++t) {
      const DoubleDouble e = exp(scores[t] - DoubleDouble(largest));
      sum = sum + e;
      mixed =
          mixed + e * DoubleDouble(narrowed(*in_.contract.w, v(static_cast<Index>(t), kv_head(h) * Dh + d)));
    }
    return mixed / sum;
  }

  DoubleDouble gated(Index s, Index column) const {
    const double gate = x()(s, column);
    return two_product(gate, y()(s, column)) / (DoubleDouble(1) + exp(DoubleDouble(-gate)));
  }

  const Request& in_;
  std::vector<Matrix> operands_;
  std::string weight_;
  std::vector<double> row_;
};

}  // namespace

double audit_values(const Request& in, const Matrix& value, const Matrix& expected, int samples,
                    uint64_t seed) {
  if (samples <= 0 || value.size() == 0) fail_internal("an audit needs samples");
  Element element(in);
  std::mt19937_64 random(seed);
  double worst = 0;
  for (int i = 0; i < samples; ++i) {
    const auto at = static_cast<Index>(random() % static_cast<uint64_t>(value.size()));
    const double v = value.data()[at], bound = expected.data()[at];
    const auto exact = element(at / value.cols(), at % value.cols());
    if (v == exact.high && exact.low == 0) continue;  // infinities, and what is only moved
    const double error = std::abs(((DoubleDouble(v) - exact).value()));
    if (std::isnan(v) && std::isnan(exact.high)) continue;
    worst = std::max(worst, std::isnan(error) ? std::numeric_limits<double>::infinity() : error / bound);
  }
  return worst;
}

double audit(const Model& model, Stage stage, int layer, const Call& call, const Contract& contract,
             const Fetch& fetch, const Bounded& judged, int samples, uint64_t seed) {
  return audit_values({model, stage, layer, call, contract, fetch}, judged.value, judged.expected, samples,
                      seed);
}

double audit(const Model& model, Stage stage, int layer, const Call& call, const Contract& contract,
             const Fetch& fetch, int samples, uint64_t seed) {
  return audit(model, stage, layer, call, contract, fetch, local(model, stage, layer, call, contract, fetch),
               samples, seed);
}

}  // namespace greta::reference
