// report.md, section "Results": the stage × layer tables, the weights, drift and bias. What passes is folded;
// what does not has tables of its own.
#include <climits>

#include "reports/drift.hpp"
#include "reports/markdown_text.hpp"
#include "reports/table.hpp"

namespace greta::reports::markdown {
namespace {

using probes::Finding;
using probes::Status;

constexpr size_t kMostTables = 30;   // of a probe, for cases that do not pass
constexpr int kMostLayers = 32;      // columns of the table of what passes
constexpr size_t kMostWeights = 40;  // rows of weights that are not within bound

std::string stage_table(const FindingRefs& findings, int layers, Language language) {
  return grid_text(stage_by_layer(findings, layers, language), tr(language, "stage \\ layer"));
}

std::string points_table(const std::string& corner, const std::vector<Drift::Point>& points,
                         Language language, const std::optional<double>& logits = {}) {
  std::vector<std::string> names = {corner}, ratios = {tr(language, "worst bound ratio")};
  for (const auto& point : points) {
    names.push_back(point.at());
    ratios.push_back(ratio_text(point.ratio));
  }
  if (logits) {
    names.emplace_back("logits");
    ratios.push_back(ratio_text(*logits));
  }
  return head_of(names, 1) + row_of(ratios) + "\n";
}

}  // namespace

std::string stage_tables(const Group& probe, Language language) {
  const auto stages = select(probe.findings, [](const Finding& f) { return !is_weight(f); });
  if (all_zero(stages))
    return tr(language, "0 in all {} comparisons.", grouped(static_cast<int64_t>(stages.size()))) + "\n\n";
  std::string own;
  FindingRefs together;
  size_t passing = 0, shown = 0, left_out = 0;
  for (const auto& arm : group_by(stages, [](const Finding& f) { return f.arm; }))
    for (const auto& at : group_by(arm.findings, case_name)) {
      if (worst_status(at.findings) == Status::pass) {
        together.insert(together.end(), at.findings.begin(), at.findings.end());
        ++passing;
      } else if (shown < kMostTables) {
        own += heading(4, tr(language, "arm {}, {}", code(arm.name), escaped(at.name))) +
               stage_table(at.findings, INT_MAX, language);
        ++shown;
      } else {
        ++left_out;
      }
    }
  std::string out;
  if (passing > 0)
    out += heading(4, tr(language, "worst of the {} cases (prompt, arm, phase) that pass", passing)) +
           stage_table(together, kMostLayers, language);
  out += own;
  if (left_out > 0)
    out += tr(language, "{} more cases that do not pass are in verdicts.json and in report.html.", left_out) +
           "\n\n";
  return out;
}

std::string weights_text(const RunResult& run, Language language) {
  const auto weights = select(all_findings(run), is_weight);
  if (weights.empty()) return {};
  const Finding* worst = worst_finding(weights);
  const auto bad = select(weights, [](const Finding& f) { return status_of(f) != Status::pass; });
  std::string out = heading(3, tr(language, "Weights, as the engine unpacks them"));
  out += tr(language, "{} compared, {} not within bound; worst ratio {} ({}, arm {})",
            grouped(static_cast<int64_t>(weights.size())), grouped(static_cast<int64_t>(bad.size())),
            ratio_text(worst->metrics.bound_ratio), code(worst->stage), code(worst->arm)) +
         ".\n\n";
  if (bad.empty()) return out;
  out += head_of({tr(language, "weight"), tr(language, "arm"), tr(language, "verdict"),
                  tr(language, "worst bound ratio")},
                 3);
  for (size_t i = 0; i < std::min(bad.size(), kMostWeights); ++i)
    out += row_of({code(bad[i]->stage.substr(sizeof("weight/") - 1)), escaped(bad[i]->arm),
                   upper_name(status_of(*bad[i]), language), ratio_text(bad[i]->metrics.bound_ratio)});
  if (bad.size() > kMostWeights)
    out += "\n" + tr(language, "{} more are in verdicts.json.", bad.size() - kMostWeights) + "\n";
  return out + "\n";
}

std::string drift_text(const RunResult& run, Language language) {
  const Drift drift = drift_of(run);
  if (drift.empty()) return {};
  std::string out = heading(3, tr(language, "Drift and bias"));
  if (!drift.by_position.empty()) {
    out += tr(language,
              "Chained mode: the distance from a reference that runs from the tokens on, in its noise "
              "envelopes.") +
           "\n\n";
    out += points_table(tr(language, "after layer"), drift.by_layer, language, drift.logits) +
           points_table(tr(language, "at position"), drift.by_position, language);
  }
  if (drift.bias.empty()) return out;
  out += tr(language,
            "Local mode: the z-score of the mean signed error over all tensors of a stage, in the arm where "
            "it is "
            "largest. Independent roundings give a number of a few; a sum that truncates, or a factor that "
            "is off "
            "within every bound (`qk`: 1/√Dh, rounded once, is one), gives one that grows with the run.") +
         "\n\n" + row_of({tr(language, "stage"), "z", tr(language, "arm"), tr(language, "tensors")}) +
         row_of({"---", "---:", "---", "---:"});
  for (const auto& bias : drift.bias)
    out += row_of({code(bias.stage), z_text(bias.z), escaped(bias.arm), grouped(bias.findings)});
  return out + "\n";
}

}  // namespace greta::reports::markdown
