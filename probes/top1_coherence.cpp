// The token that a greedy sampler would take: the engine's argmax kernel, its own logits, prefill's last row,
// decode and the reference agree, unless the reference's margin between two tokens is smaller than the
// logits' bound (a tie, said so).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/figures.hpp"
#include "probes/probe.hpp"
#include "probes/top1_coherence.hpp"

namespace greta::probes {
namespace {

struct Top1Coherence {
  static constexpr std::string_view name = "top1_coherence";
  static constexpr std::string_view doc =
      "the most likely token is the same in prefill, in decode and in the reference";

  static Needs needs(const Options&) {
    return {.chained = true, .also = {"prefill_last", "decode0"}, .stages = {Stage::logits}};
  }

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence, place, finding); });
  }

  static void check(const Evidence& evidence, const Place& place, Finding& finding) {
    const Phase& phase = evidence.phase(place.phase);
    const Tap& tap = phase.tap(-1, Stage::logits);
    const auto row = last_rows(tap, phase, Stage::logits);
    if (!phase.outcome) throw Missing(say("{} returned no logits", phase.name));
    finding.kernel = tap.kernel;
    finding.contract = tap.contract;
    finding.metrics.count = static_cast<int64_t>(row.size());
    finding.shape = {finding.metrics.count};
    finding.reason = "the reference's margin against its envelope";

    if (std::any_of(row.begin(), row.end(), [](float x) { return std::isnan(x); }))
      return fail(finding, say("the logits hold NaN, so they have no top-1"));
    figures(finding, row, evidence.chained_rows({phase.name, -1, Stage::logits}));
    const int32_t own = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    const int32_t top1 = phase.outcome->top1;
    if (own != top1)
      return fail(finding, say("the argmax kernel says token {}, the largest logit is token {}", top1, own));
    if (!std::equal(row.begin(), row.end(), phase.outcome->logits.begin(), phase.outcome->logits.end()))
      return fail(finding, not_as_written());

    const ChainedRows& rows = evidence.chained_rows({phase.name, -1, Stage::logits});
    Message tie;
    if (const auto wrong = against_reference(rows, top1, tie); !wrong.empty()) return fail(finding, wrong);
    const Phase& prefill = evidence.phase("prefill_last");
    const Phase& decode = evidence.phase("decode0");
    if (!prefill.outcome || !decode.outcome) throw Missing(say("prefill_last or decode0 returned no logits"));
    const bool same_step = phase.call.start + phase.call.S() == decode.call.T();
    for (const Phase* other : {&prefill, &decode}) {
      if (!same_step || other->outcome->top1 == top1) continue;
      if (const auto wrong = against_reference(rows, other->outcome->top1, tie); !wrong.empty())
        return fail(finding, say("{} says token {}, {} says token {}", phase.name, top1, other->name,
                                 other->outcome->top1));
    }
    finding.status = Status::pass;
    finding.message = tie;
  }

  // The engine's most likely token, how far the second is behind it, and the reference's.
  static void figures(Finding& finding, std::span<const float> row, const ChainedRows& rows) {
    const auto best = std::max_element(row.begin(), row.end());
    double second = -std::numeric_limits<double>::infinity();
    for (auto at = row.begin(); at != row.end(); ++at)
      if (at != best) second = std::max<double>(second, *at);
    const auto right = std::max_element(rows.value.begin(), rows.value.end());
    finding.figures = {word("top1", std::to_string(best - row.begin())), number("margin", *best - second),
                       word("top1_reference", std::to_string(right - rows.value.begin()))};
  }

  static void fail(Finding& finding, Message message) {
    finding.status = Status::fail;
    finding.message = std::move(message);
  }

  // What is wrong with `token` as the top-1; empty: nothing, or a tie.
  static Message against_reference(const ChainedRows& rows, int32_t token, Message& tie) {
    const auto best = std::max_element(rows.value.begin(), rows.value.end()) - rows.value.begin();
    if (best == token) return {};
    if (token < 0 || token >= static_cast<int32_t>(rows.value.size()))
      return say("token {} is outside the vocabulary", token);
    const auto at = static_cast<size_t>(token);
    const double margin = rows.value[static_cast<size_t>(best)] - rows.value[at];
    const double bound = rows.envelope[static_cast<size_t>(best)] + rows.envelope[at];
    const Message text = say("the engine says token {}, the reference token {} (margin {:.3g}, bound {:.3g})",
                             token, best, margin, bound);
    if (!(margin <= bound)) return text;
    tie = say("tie: {}", text);
    return {};
  }
};

REGISTER_PROBE(Top1Coherence);

}  // namespace
}  // namespace greta::probes
