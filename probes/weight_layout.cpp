// Rows or columns? A product's output against both readings of its weight, each inside its own bound. By row:
// Σᵢ x[i]·W[j·K + i], as it should be. By column: Σᵢ x[i]·W[i·N + j], the catalogue's weight_layout=col.
#include "datasets/message.hpp"
#include "probes/figures.hpp"
#include "probes/probe.hpp"
#include "reference/hypothesis.hpp"

namespace greta::probes {
namespace {

struct WeightLayout {
  static constexpr std::string_view name = "weight_layout";
  static constexpr std::string_view doc =
      "each product against its weight read by row and by column: which one it fits, if any";

  static Needs needs(const Options&) {
    return {.operands = true,
            .stages = {Stage::embed, Stage::q, Stage::k, Stage::v, Stage::wo, Stage::ffn_gate, Stage::ffn_up,
                       Stage::ffn_down, Stage::logits}};
  }

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) { check(at, stage, finding); });
  }

  static void check(const LayerView& at, Stage stage, Finding& finding) {
    const Tap& tap = at.tap(stage);
    const auto& right = at.local(stage);
    compare_with(finding, tap, span_of(right.value), span_of(right.expected), span_of(right.certain));
    finding.reason = right.reason;
    const Metrics& row = finding.metrics;
    const auto by_column = column(at, stage, tap);
    const Metrics col = by_column ? against(tap.f32(), *by_column) : Metrics{};
    // A weight that cannot tell (one row, all the same) fits both readings or none.
    const bool col_fits = by_column ? col.pass() : row.pass();
    const std::string layout = layout_of(row.pass(), col_fits), smaller = row.mae <= col.mae ? "row" : "col";
    finding.figures = {number("mae_row", row.mae),
                       number("ratio_row", row.bound_ratio),
                       by_column ? number("mae_col", col.mae) : word("mae_col", "as row"),
                       by_column ? number("ratio_col", col.bound_ratio) : word("ratio_col", "as row"),
                       word("smaller", by_column ? smaller : "as row"),
                       word("layout", layout)};
    if (row.count == 0 || row.pass()) return;
    finding.status = Status::fail;
    finding.message = said(row, col, by_column.has_value(), smaller);
  }

  static Message said(const Metrics& row, const Metrics& col, bool tells, const std::string& smaller) {
    if (!tells)
      return say(
          "the output does not fit the weight (MAE {:.3g}, ratio {:.3g}), and by column it would be "
          "the same",
          row.mae, row.bound_ratio);
    if (col.pass())
      return say(
          "the weight was read by column: inside the bound by column (MAE {:.3g}, ratio {:.3g}), not "
          "by "
          "row (MAE {:.3g}, ratio {:.3g})",
          col.mae, col.bound_ratio, row.mae, row.bound_ratio);
    return say(
        "neither reading fits: by row MAE {:.3g} (ratio {:.3g}), by column MAE {:.3g} (ratio {:.3g}); "
        "that "
        "{} is the smaller misfit is no cause",
        row.mae, row.bound_ratio, col.mae, col.bound_ratio, smaller);
  }

  // Empty where the two readings cannot be told apart.
  static std::optional<reference::Bounded> column(const LayerView& at, Stage stage, const Tap& tap) {
    static const Cause* const cause = &find_cause("weight_layout=col");
    const reference::Model& model = *at.evidence.model;
    const auto contract = reference::Contract::parse(tap.contract);
    const reference::Fetch fetch = [&](const reference::OperandRef& ref) {
      return operand(at.phase, model.config(), ref);
    };
    const auto rows = tap.tensor->shape().front();
    const auto values = tap.f32();
    const reference::Matrix output =
        Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
            values.data(), rows, static_cast<Eigen::Index>(values.size()) / rows)
            .cast<double>();
    const reference::Observation seen{model, stage, at.layer, at.phase.call, contract, fetch, output};
    return reference::suppose(seen, {&cause, 1});
  }
};

REGISTER_PROBE(WeightLayout);

}  // namespace
}  // namespace greta::probes
