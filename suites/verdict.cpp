#include "suites/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include "suites/phases.hpp"

namespace greta::suites {
namespace {

using probes::Finding;
using probes::Status;

// Weights come first: nothing behind a wrong weight can be right.
class PipelineOrder {
 public:
  explicit PipelineOrder(const Plan& plan) {
    for (const auto& item : plan.cases) {
      cases_.emplace(item.arm.name + "/" + item.prompt.id, static_cast<int>(cases_.size()));
      arms_.emplace(item.arm.name, static_cast<int>(arms_.size()));
    }
    for (const auto& [arm, rows] : plan.weights) arms_.emplace(arm, static_cast<int>(arms_.size()));
    for (const auto& row : stages()) stages_.emplace(row.name, static_cast<int>(row.stage));
  }

  using Rank = std::tuple<int, int, int, bool, int, int>;
  Rank operator()(const Finding& finding) const {
    const int stage = find(stages_, finding.stage);
    const bool behind = finding.layer < 0 && stage > 0;  // final_norm, logits
    const bool fill = finding.phase.starts_with("fill_");
    const int phase =
        finding.phase == "fill_stepwise" ? order_of_phase("decode0_stepwise") : order_of_phase(finding.phase);
    return {find(arms_, finding.arm),
            find(cases_, finding.arm + "/" + finding.prompt),
            phase,
            !fill,
            behind ? std::numeric_limits<int>::max() : finding.layer,
            stage};
  }

 private:
  static int find(const std::map<std::string, int, std::less<>>& ranks, const std::string& name) {
    const auto it = ranks.find(name);
    return it == ranks.end() ? -1 : it->second;
  }
  std::map<std::string, int, std::less<>> arms_, cases_, stages_;
};

}  // namespace

// A finding is large, and most are in their place already.
void sort_in_pipeline_order(std::vector<Finding>& findings, const Plan& plan) {
  const PipelineOrder order(plan);
  std::vector<std::pair<PipelineOrder::Rank, size_t>> ranks;
  ranks.reserve(findings.size());
  for (const auto& finding : findings) ranks.emplace_back(order(finding), ranks.size());
  if (std::is_sorted(ranks.begin(), ranks.end())) return;
  std::sort(ranks.begin(), ranks.end());
  std::vector<Finding> sorted;
  sorted.reserve(findings.size());
  for (const auto& [rank, at] : ranks) sorted.push_back(std::move(findings[at]));
  findings = std::move(sorted);
}

void conclude_run(reports::RunResult& result, const Plan& plan) {
  sort_in_pipeline_order(result.findings, plan);
  using Place = std::tuple<std::string_view, std::string_view, std::string_view, int, std::string_view>;
  std::set<Place> compared;
  for (const auto& finding : result.findings)
    if (finding.metrics.count > 0)
      compared.emplace(finding.arm, finding.prompt, finding.phase, finding.layer, finding.stage);
  result.compared = static_cast<int64_t>(compared.size());

  std::map<std::string_view, Status> worst;  // of an arm
  std::map<std::string_view, const Finding*> first_failing;
  for (const auto& finding : result.findings) {
    auto& of_arm = worst.try_emplace(finding.arm, Status::pass).first->second;
    of_arm = probes::worse(of_arm, finding.status);
    if (finding.status == Status::fail) first_failing.try_emplace(finding.arm, &finding);
  }
  for (auto& arm : result.arms) {
    const auto found = worst.find(arm.name);
    const auto failing = first_failing.find(arm.name);
    arm.status = found == worst.end() ? Status::invalid : found->second;
    arm.first_failing = failing == first_failing.end() ? "" : failing->second->key();
  }
  result.status = reports::conclude(result);
}

}  // namespace greta::suites
