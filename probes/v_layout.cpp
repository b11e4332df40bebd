// The V cache as attention reads it, and what attention makes of it: v_cache against the V rows that were
// written, read by row (base[t·Dh + d]) and by column (base[d·T + t], the catalogue's cache_layout=col); pv
// and attn_out against softmax·V of the V that was written. An arm with keys_window has the instrument of the
// B3.25 report: the first keys only, against softmax weights over all of them.
#include <fmt/format.h>

#include <charconv>

#include "datasets/error.hpp"
#include "datasets/message.hpp"
#include "probes/figures.hpp"
#include "probes/keys_window.hpp"
#include "probes/probe.hpp"
#include "reference/hypothesis.hpp"

namespace greta::probes {
namespace {

using reference::Bounded;
using reference::Matrix;
using reference::OperandRef;

std::vector<int64_t> heads_of(const std::string& option, int64_t all) {
  std::vector<int64_t> heads;
  if (option == "all")
    for (int64_t head = 0; head < all; ++head) heads.push_back(head);
  for (std::string_view rest = option; option != "all" && !rest.empty();) {
    const auto comma = rest.find(',');
    std::from_chars(rest.data(), rest.data() + rest.size(), heads.emplace_back());
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return heads;
}

struct VLayout {
  static constexpr std::string_view name = "v_layout";
  static constexpr std::string_view doc =
      "V as attention reads it, by row and by column, and P·V against the V that was written";
  static constexpr Option options[] = {
      {"heads", "all|LIST", "attention heads that get figures of their own"}};

  explicit VLayout(const Options& given) : heads(given.at("heads")) {}
  std::string heads;

  static Needs needs(const Options&) {
    return {.operands = true,
            .reads = {Stage::v, Stage::softmax, Stage::pv},
            .stages = {Stage::v_cache, Stage::pv, Stage::attn_out}};
  }

  static void fit(const Options& given, const reference::Config& config) {
    for (const int64_t head : heads_of(given.at("heads"), config.heads))
      if (head >= config.heads)
        fail_usage("heads of probe {} is '{}'; the model has heads 0 to {}", name, given.at("heads"),
                   config.heads - 1);
  }

  void check_layer(const LayerView& at, Judge& judge) const {
    for (const Stage stage : at.stages)
      judge(at.place(stage), [&](Finding& finding) {
        stage == Stage::v_cache ? cache(at, finding) : product(at, stage, finding);
      });
  }

  void cache(const LayerView& at, Finding& finding) const {
    const Tap& tap = at.tap(Stage::v_cache);
    const Bounded& row = at.local(Stage::v_cache);
    const auto col = by_column(at, tap);
    compare_with(finding, tap, span_of(row.value), span_of(row.expected), span_of(row.certain));
    finding.reason = row.reason;
    const auto& config = at.evidence.model->config();
    const auto report = [&](const Metrics& as_row, const std::optional<Metrics>& as_col,
                            const std::string& of) {
      const bool fits = as_col ? as_col->pass() : as_row.pass();
      finding.figures.push_back(word("v_layout_best", layout_of(as_row.pass(), fits), of));
      finding.figures.push_back(number("v_mae_row", as_row.mae, of));
      finding.figures.push_back(as_col ? number("v_mae_col", as_col->mae, of)
                                       : word("v_mae_col", "as row", of));
    };
    const auto all = col ? std::optional(against(tap.f32(), *col)) : std::nullopt;
    report(finding.metrics, all, "");
    for (const int64_t head : heads_of(heads, config.heads)) {
      const Columns part{head / (config.heads / config.kv_heads) * config.head_dim, config.head_dim};
      report(against(tap.f32(), row, part),
             col ? std::optional(against(tap.f32(), *col, part)) : std::nullopt,
             fmt::format("head {}", head));
    }
    if (finding.metrics.count == 0 || finding.metrics.pass()) return;
    finding.status = Status::fail;
    const Metrics& m = finding.metrics;
    finding.message = all && all->pass() ? say("V is read by column: inside the bound by column (MAE "
                                               "{:.3g}), not by row (MAE {:.3g}, ratio {:.3g})",
                                               all->mae, m.mae, m.bound_ratio)
                                         : say("what attention reads is not the V that was written, by row "
                                               "(MAE {:.3g}, ratio {:.3g}) or by column "
                                               "(MAE {:.3g}): this is not a layout",
                                               m.mae, m.bound_ratio, all ? all->mae : m.mae);
  }

  void product(const LayerView& at, Stage stage, Finding& finding) const {
    const Tap& tap = at.tap(stage);
    const Bounded whole = from_written(at, stage, Keys{});
    compare_with(finding, tap, span_of(whole.value), span_of(whole.expected), span_of(whole.certain));
    finding.reason = whole.reason;
    const auto& config = at.evidence.model->config();
    const std::string mae = std::string(name_of(stage)) + "_mae";
    finding.figures.push_back(number(mae, finding.metrics.mae));
    const auto of_head = [&](int64_t head) { return Columns{head * config.head_dim, config.head_dim}; };
    for (const int64_t head : heads_of(heads, config.heads))
      finding.figures.push_back(
          number(mae, against(tap.f32(), whole, of_head(head)).mae, fmt::format("head {}", head)));
    if (at.evidence.keys_window > 0) {
      const WindowCheck check{at, stage, mae};
      check.run(whole, heads_of(heads, config.heads), finding);
      if (finding.status != Status::invalid || !finding.message.empty()) return;
    }
    if (finding.metrics.count == 0 || finding.metrics.pass()) return;
    finding.status = Status::fail;
    const Metrics& m = finding.metrics;
    const bool from_read = against(tap.f32(), at.local(stage)).pass();
    finding.message = from_read ? say("{} follows from what attention read, but not from the V that was "
                                      "written (MAE {:.3g}, ratio {:.3g})",
                                      name_of(stage), m.mae, m.bound_ratio)
                                : say("{} follows neither from what attention read nor from the V that was "
                                      "written (MAE {:.3g}, ratio "
                                      "{:.3g})",
                                      name_of(stage), m.mae, m.bound_ratio);
  }

  static std::optional<Bounded> by_column(const LayerView& at, const Tap& tap) {
    static const Cause* const cause = &find_cause("cache_layout=col");
    const reference::Model& model = *at.evidence.model;
    const auto contract = reference::Contract::parse(tap.contract);
    const reference::Fetch fetch = [&](const OperandRef& ref) {
      return operand(at.phase, model.config(), ref);
    };
    const Matrix unused;
    return reference::suppose({model, Stage::v_cache, at.layer, at.phase.call, contract, fetch, unused},
                              {&cause, 1});
  }
};

REGISTER_PROBE(VLayout);

}  // namespace
}  // namespace greta::probes
