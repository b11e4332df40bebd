#include "reports/run_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Status;

Status worst_of(const RunResult& run, std::string_view arm, bool all_arms) {
  Status worst = Status::pass;
  bool any = false;
  for (const auto& finding : run.findings) {
    if (!all_arms && finding.arm != arm) continue;
    any = true;
    worst = probes::worse(worst, status_of(finding));
  }
  return any ? worst : Status::invalid;
}

// What every verdict rests on, beside the findings themselves.
std::vector<std::string> missing_evidence(const RunResult& run) {
  std::vector<std::string> reasons;
  if (!run.interrupted.empty()) reasons.push_back("the run ended early: " + run.interrupted);
  if (run.findings.empty()) reasons.emplace_back("no probe found anything to say");
  if (run.compared <= 0) reasons.emplace_back("nothing was compared");
  if (run.compared < run.planned)
    reasons.push_back(fmt::format("{} of {} planned tensors were not compared",
                                  grouped(run.planned - run.compared), grouped(run.planned)));
  return reasons;
}

}  // namespace

Status status_of(const probes::Finding& finding) {
  const double ratio = finding.metrics.bound_ratio;
  const bool contradicts = std::isnan(ratio) || (finding.metrics.count > 0 && !(ratio <= 1));
  return finding.status == Status::pass && contradicts ? Status::invalid : finding.status;
}

Status conclude(const RunResult& run) {
  const Status found = worst_of(run, {}, true);
  return missing_evidence(run).empty() ? found : probes::worse(found, Status::invalid);
}

Status conclude_arm(const RunResult& run, std::string_view arm) { return worst_of(run, arm, false); }

std::vector<std::string> invalid_reasons(const RunResult& run) {
  std::vector<std::string> reasons = missing_evidence(run);
  for (const auto& arm : run.arms)
    if (std::none_of(run.findings.begin(), run.findings.end(),
                     [&](const auto& f) { return f.arm == arm.name; }))
      reasons.push_back(fmt::format("arm '{}' has no finding", arm.name));
  for (const auto& finding : run.findings) {
    if (status_of(finding) != Status::invalid) continue;
    const bool contradicts = finding.status != Status::invalid;
    reasons.push_back(fmt::format(
        "{}: {}", finding.key(),
        contradicts ? fmt::format("recorded as pass with a bound ratio of {}", finding.metrics.bound_ratio)
                    : finding.message));
  }
  if (reasons.empty() && run.status == Status::invalid) reasons.emplace_back("the runner reached no verdict");
  return reasons;
}

ExitCode RunResult::exit_code() const {
  switch (probes::worse(status, conclude(*this))) {
    case Status::pass:
      return ExitCode::pass;
    case Status::fail:
      return ExitCode::fail;
    case Status::invalid:
      break;
  }
  return ExitCode::invalid;
}

}  // namespace greta::reports
