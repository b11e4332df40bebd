// The sentences of summary.hpp: verdicts, counts, elements and commands in words.
#include <fmt/format.h>

#include "datasets/tensor.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {

using probes::Finding;
using probes::Status;

std::string upper_name(Status status, Language language) {
  switch (status) {
    case Status::pass:
      return tr(language, "PASS");
    case Status::fail:
      return tr(language, "FAIL");
    case Status::invalid:
      break;
  }
  return tr(language, "INVALID");
}

Status verdict_of(const RunResult& run) { return probes::worse(run.status, conclude(run)); }

std::string counts_text(const RunResult& run, Language language) {
  int64_t fail = 0, invalid = 0;
  for (const auto& finding : run.findings) {
    fail += status_of(finding) == Status::fail;
    invalid += status_of(finding) == Status::invalid;
  }
  const auto total = static_cast<int64_t>(run.findings.size());
  return tr(language, "{} of {} planned tensors compared; {} findings: {} pass, {} fail, {} invalid",
            grouped(run.compared), grouped(run.planned), grouped(total), grouped(total - fail - invalid),
            grouped(fail), grouped(invalid));
}

std::string rerun_command(const RunResult& run, const Finding& finding) {
  if (run.rerun.empty()) return {};
  const bool narrowed = run.rerun.find(" --only ") != std::string::npos;
  return narrowed ? run.rerun : run.rerun + " --only " + shell_quoted(finding.key());
}

std::string worst_element(const Finding& finding, Language language) {
  const auto& m = finding.metrics;
  if (m.count == 0) return tr(language, "no element was compared");
  if (m.worst < 0) return tr(language, "none of {} elements is off", grouped(m.count));
  const auto index = finding.worst_index();
  const Message place = index.empty()
                            ? say("element {}", m.worst)
                            : say("{} of {}", greta::to_string(index), greta::to_string(finding.shape));
  return tr(
      language,
      "{}: engine {:.9g}, reference {:.9g}, error {:.3g}, bound {:.3g}, ratio {:.4g} (of the certain bound: "
      "{:.4g})",
      place, m.worst_actual, m.worst_expected, std::abs(m.worst_actual - m.worst_expected), m.worst_bound,
      m.bound_ratio, m.certain_ratio);
}

}  // namespace greta::reports
