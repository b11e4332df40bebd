#include "probes/keys_window.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/message.hpp"
#include "probes/figures.hpp"

namespace greta::probes {

using reference::Bounded;
using reference::Matrix;
using reference::OperandRef;

namespace {

// The largest share of a row's softmax weight that falls on these keys.
double largest_weight(const Tap& softmax, int64_t T, int64_t from) {
  const auto weights = softmax.f32();
  double largest = 0;
  for (size_t row = 0; row < weights.size(); row += static_cast<size_t>(T)) {
    double sum = 0;
    for (int64_t key = from; key < T; ++key) sum += weights[row + static_cast<size_t>(key)];
    largest = std::max(largest, sum);
  }
  return largest;
}

// The largest |(actual - part) - rest| / bound: at most 1 where what the part leaves unexplained is the rest.
double residual_ratio(std::span<const float> actual, const Bounded& part, const Bounded& rest) {
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto at = static_cast<Eigen::Index>(i);
    const double residual = actual[i] - part.value.data()[at];
    const double error = std::abs(residual - rest.value.data()[at]);
    const double bound = part.expected.data()[at] + rest.expected.data()[at];
    if (!(error <= 0)) worst = std::isnan(error / bound) ? INFINITY : std::max(worst, error / bound);
  }
  return worst;
}

}  // namespace

Metrics against(std::span<const float> actual, const Bounded& bounded, Columns part) {
  const Eigen::Index rows = bounded.value.rows(), width = static_cast<Eigen::Index>(actual.size()) / rows;
  std::vector<float> own;
  for (Eigen::Index row = 0; row < rows; ++row) {
    const auto begin = actual.begin() + row * width + part.begin;
    own.insert(own.end(), begin, begin + part.count);
  }
  const Matrix value = bounded.value.middleCols(part.begin, part.count),
               expected = bounded.expected.middleCols(part.begin, part.count),
               certain = bounded.certain.middleCols(part.begin, part.count);
  return compare(own, span_of(value), span_of(expected), span_of(certain));
}

Bounded from_written(const LayerView& at, Stage stage, Keys keys) {
  const reference::Model& model = *at.evidence.model;
  const int64_t T = at.phase.call.T();
  const reference::Fetch fetch = [&](const OperandRef& ref) {
    if (ref.stage == Stage::v_cache) return operand(at.phase, model.config(), {Stage::v, ref.layer, true});
    Matrix out = operand(at.phase, model.config(), ref);
    for (Eigen::Index column = 0; column < out.cols(); ++column)
      if (column % T < keys.begin || column % T >= keys.end) out.col(column).setZero();
    return out;
  };
  const auto contract = [&](Stage of) { return reference::Contract::parse(at.tap(of).contract); };
  Bounded pv = reference::local(model, Stage::pv, at.layer, at.phase.call, contract(Stage::pv), fetch);
  if (stage == Stage::pv) return pv;
  Bounded out = reference::local(model, stage, at.layer, at.phase.call, contract(stage),
                                 [&](const OperandRef&) { return pv.value; });
  out.expected += pv.expected;  // what pv may be off by, attn_out may be, too
  out.certain += pv.certain;
  out.reason = pv.reason + "; then " + out.reason;
  return out;
}

void WindowCheck::run(const Bounded& whole, const std::vector<int64_t>& heads, Finding& finding) const {
  const int64_t T = at.phase.call.T(), window = at.evidence.keys_window,
                left = std::max<int64_t>(T - window, 0);
  const auto& config = at.evidence.model->config();
  const auto values = at.tap(stage).f32();
  const Bounded inside = left > 0 ? from_written(at, stage, {0, window}) : whole;
  const Metrics seen = against(values, inside);
  const Message keys = left > 0 ? say("keys 0-{} of {}", window - 1, T) : say("all {} keys", T);
  const auto report = [&](double error, const std::string& of) {
    finding.figures.push_back(number(mae + "_window", error, of));
    finding.figures.push_back(word(std::string(kWindow), keys.text(), of));
  };
  report(seen.mae, "");
  for (const int64_t head : heads)
    report(against(values, inside, {head * config.head_dim, config.head_dim}).mae,
           fmt::format("head {}", head));
  if (left == 0 || seen.pass() || !finding.metrics.pass()) return;

  const double weight = largest_weight(at.tap(Stage::softmax), T, window);
  const double ratio = residual_ratio(values, inside, from_written(at, stage, {window, T}));
  finding.figures.push_back(number(std::string(kKeysLeftOut), static_cast<double>(left)));
  finding.figures.push_back(number("weight_left_out", weight));
  finding.status = Status::invalid;
  if (!(ratio <= 1)) {
    finding.message =
        say("over {} it is off by MAE {:.3g}, which is not what the other keys contribute (ratio "
            "{:.3g}), and yet it is right as a whole: no verdict",
            keys, seen.mae, ratio);
    return;
  }
  finding.message =
      say("the instrument, not the engine, makes the difference: over {} it is off by MAE {:.3g}, which "
          "is what the {} keys left out contribute (up to {:.3g} of a row's weight; ratio {:.3g}); "
          "compared whole it passes (MAE {:.3g}, ratio {:.3g})",
          keys, seen.mae, left, weight, ratio, finding.metrics.mae, finding.metrics.bound_ratio);
}

}  // namespace greta::probes
