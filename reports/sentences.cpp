// The sentences of summary.hpp: verdicts, counts, elements and commands in words.
#include <fmt/format.h>

#include "datasets/tensor.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {

using probes::Finding;
using probes::Status;

std::string upper_name(Status status) {
  switch (status) {
    case Status::pass:
      return "PASS";
    case Status::fail:
      return "FAIL";
    case Status::invalid:
      break;
  }
  return "INVALID";
}

Status verdict_of(const RunResult& run) { return probes::worse(run.status, conclude(run)); }

std::string counts_text(const RunResult& run) {
  int64_t fail = 0, invalid = 0;
  for (const auto& finding : run.findings) {
    fail += status_of(finding) == Status::fail;
    invalid += status_of(finding) == Status::invalid;
  }
  const auto total = static_cast<int64_t>(run.findings.size());
  return fmt::format("{} of {} planned tensors compared; {} findings: {} pass, {} fail, {} invalid",
                     grouped(run.compared), grouped(run.planned), grouped(total),
                     grouped(total - fail - invalid), grouped(fail), grouped(invalid));
}

std::string rerun_command(const RunResult& run, const Finding& finding) {
  if (run.rerun.empty()) return {};
  const bool narrowed = run.rerun.find(" --only ") != std::string::npos;
  return narrowed ? run.rerun : run.rerun + " --only " + shell_quoted(finding.key());
}

std::string worst_element(const Finding& finding) {
  const auto& m = finding.metrics;
  if (m.count == 0) return "no element was compared";
  if (m.worst < 0) return fmt::format("none of {} elements is off", grouped(m.count));
  std::string place = fmt::format("element {}", m.worst);
  if (!finding.worst_index().empty())
    place = greta::to_string(finding.worst_index()) + " of " + greta::to_string(finding.shape);
  return fmt::format(
      "{}: engine {:.9g}, reference {:.9g}, error {:.3g}, bound {:.3g}, ratio {:.4g} (of the certain bound: "
      "{:.4g})",
      place, m.worst_actual, m.worst_expected, std::abs(m.worst_actual - m.worst_expected), m.worst_bound,
      m.bound_ratio, m.certain_ratio);
}

}  // namespace greta::reports
