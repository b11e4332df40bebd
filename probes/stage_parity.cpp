// Every stage against the reference. local: from the engine's own inputs to the stage, so that the first
// failing stage is the broken one. chained: from the tokens on, within the noise that the declared arithmetic
// makes in the reference itself.
#include <fmt/format.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "probes/probe.hpp"

namespace greta::probes {
namespace {

// A reference that is off by more than this share of the bound is not fit to judge.
constexpr double kFitShare = 0.01;
constexpr int kAuditSamples = 4;

struct StageParity {
  static constexpr std::string_view name = "stage_parity";
  static constexpr std::string_view doc =
      "each stage of each layer within the error bound of its declared arithmetic";
  static constexpr Option options[] = {
      {"mode", "local|chained",
       "the reference starts from the engine's own inputs to the stage, or from the tokens"}};

  explicit StageParity(const Options& given) : chained(given.at("mode") == "chained") {}
  bool chained;

  static Needs needs(const Options& given) {
    const bool chained = given.at("mode") == "chained";
    return {.operands = !chained, .chained = chained, .weights = !chained};
  }

  void check_layer(const LayerView& at, Judge& judge) const {
    if (chained) return;
    std::vector<Judge::Sized> places;
    for (const Stage stage : at.stages) {
      int64_t elements = 1;
      for (const int64_t length : shape_of(stage, at.phase.sizes)) elements *= length;
      places.push_back({at.place(stage), elements});
    }
    judge.together(places, [&](const Place& place, Finding& finding) { local(at, place.stage, finding); });
  }

  static void local(const LayerView& at, Stage stage, Finding& finding) {
    const Tap& tap = at.tap(stage);
    const reference::Model& model = *at.evidence.model;
    const auto contract = reference::Contract::parse(tap.contract);
    const reference::Fetch fetch = [&](const reference::OperandRef& ref) {
      return operand(at.phase, model.config(), ref);
    };
    const auto& bounded = at.local(stage);
    compare_with(finding, tap, span(bounded.value), span(bounded.expected), span(bounded.certain),
                 span(bounded.lean));
    distribute(finding, tap, bounded, info(stage).axes);
    const double audit = reference::audit(model, stage, at.layer, at.phase.call, contract, fetch, bounded,
                                          kAuditSamples, at.evidence.seed);
    finding.reason = fmt::format("{}; the reference is within {:.1e} of the bound on {} samples",
                                 bounded.reason, audit, kAuditSamples);
    if (bounded.lean.size() > 0)
      finding.reason += fmt::format(
          "; the unit truncates: its mean error, {:.2e} here, is no bias, and the z-score counts what "
          "differs "
          "from it by more than a half",
          bounded.lean.mean());
    if (!(audit <= kFitShare))
      throw Missing(say("the reference is not fit to judge: its own error is {:.2g} of the bound", audit));
  }

  // Which elements are how far off: by their ratio to each bound, and by head.
  static void distribute(Finding& finding, const Tap& tap, const reference::Bounded& bounded,
                         std::string_view axes) {
    const auto values = tap.f32();
    if (values.empty()) return;  // the judge refuses it
    const auto& shape = tap.tensor->shape();
    const bool heads = shape.size() == 3 && axes.find('H') != std::string_view::npos;
    const size_t head_count = heads ? static_cast<size_t>(shape[1]) : 1;
    const size_t width = std::max<size_t>(
        heads ? static_cast<size_t>(shape[2]) : values.size() / static_cast<size_t>(shape.front()), 1);
    // By blocks of rows, so many that no worker waits for another; counts and maxima know no order.
    const size_t rows = values.size() / width, block = std::max<size_t>((size_t{1} << 15) / width, 1);
    finding.by_expected.assign(kRatioBins, 0);
    finding.by_certain.assign(kRatioBins, 0);
    std::vector<float> worst(head_count, 0);
    std::mutex mutex;
    tbb::parallel_for(size_t{0}, (rows + block - 1) / block, [&](size_t at) {
      std::vector<int64_t> by_expected(kRatioBins), by_certain(kRatioBins);
      std::vector<float> of_head(head_count, 0);
      for (size_t row = at * block; row < std::min(rows, (at + 1) * block); ++row)
        of_head[row % head_count] =
            std::max(of_head[row % head_count],
                     count_row(values, bounded, row * width, width, by_expected, by_certain));
      const std::lock_guard lock(mutex);
      for (size_t bin = 0; bin < kRatioBins; ++bin) {
        finding.by_expected[bin] += by_expected[bin];
        finding.by_certain[bin] += by_certain[bin];
      }
      for (size_t head = 0; head < head_count; ++head) worst[head] = std::max(worst[head], of_head[head]);
    });
    if (heads) finding.head_ratio = std::move(worst);
  }

  // Its largest ratio to the expected bound.
  static float count_row(std::span<const float> values, const reference::Bounded& bounded, size_t begin,
                         size_t width, std::vector<int64_t>& by_expected, std::vector<int64_t>& by_certain) {
    double worst = 0;
    for (size_t i = begin; i < begin + width; ++i) {
      const auto at = static_cast<Eigen::Index>(i);
      const double value = bounded.value.data()[at];
      const double error = same(values[i], value) ? 0 : std::abs(values[i] - value);
      const double ratio = ratio_of(error, bounded.expected.data()[at]);
      ++by_expected[static_cast<size_t>(ratio_bin(ratio))];
      ++by_certain[static_cast<size_t>(ratio_bin(ratio_of(error, bounded.certain.data()[at])))];
      worst = std::max(worst, ratio);
    }
    return static_cast<float>(worst);
  }

  static bool same(float actual, double reference) {
    return static_cast<double>(actual) == reference || (std::isnan(actual) && std::isnan(reference));
  }
  static double ratio_of(double error, double bound) {
    if (error == 0) return 0;
    const double ratio = error / bound;
    return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
  }

  void check_chained(const ChainedView& at, Judge& judge) const {
    if (!chained) return;
    judge(at.place, [&](Finding& finding) {
      // An envelope is a quantile, so nothing is certain beyond it.
      const std::vector<double> certain(at.value.size(), std::numeric_limits<double>::infinity());
      compare_with(finding, at.tap(), at.value, at.envelope, certain);
      if (at.place.stage == Stage::ffn_residual || at.place.stage == Stage::logits)
        by_row(at, certain, finding);
      finding.reason = "noise envelope of the reference, rerun with the roundings that each stage declares";
    });
  }

  // How far each position has drifted.
  static void by_row(const ChainedView& at, std::span<const double> certain, Finding& finding) {
    const auto values = at.tap().f32();
    const size_t width = values.size() / static_cast<size_t>(at.phase.sizes.S);
    for (size_t begin = 0; begin < values.size(); begin += width) {
      const auto row = compare(values.subspan(begin, width), at.value.subspan(begin, width),
                               at.envelope.subspan(begin, width), certain.subspan(begin, width));
      finding.row_ratio.push_back(static_cast<float>(row.bound_ratio));
    }
    finding.first_position = at.phase.call.start;
  }

  void check_weight(const WeightView& at, Judge& judge) const {
    if (chained) return;
    judge.weight(at.weight, [&](Finding& finding) {
      std::mutex mutex;
      std::map<int64_t, Piece> pieces;  // by their first row
      int64_t reference_values = 0;
      at.visit_local([&](int64_t begin, const reference::Bounded& rows) {
        const auto from = static_cast<size_t>(begin * rows.value.cols());
        const auto count = static_cast<size_t>(rows.value.size());
        const auto values = at.delivered->f32();
        Piece piece;
        if (from + count <= values.size())  // else the tensor is too short, which is said below
          piece = compare_piece(values.subspan(from, count), span(rows.value), span(rows.expected),
                                span(rows.certain));
        const std::lock_guard lock(mutex);
        pieces.emplace(begin, piece);
        reference_values += rows.value.size();
        finding.reason = rows.reason;
      });
      std::vector<Piece> in_order;
      for (const auto& [begin, piece] : pieces) in_order.push_back(piece);
      describe_with(finding, *at.delivered, reference_values);
      finding.metrics = join(in_order);
    });
  }

  static std::span<const double> span(const reference::Matrix& m) {
    return {m.data(), static_cast<size_t>(m.size())};
  }
};

REGISTER_PROBE(StageParity);

}  // namespace
}  // namespace greta::probes
