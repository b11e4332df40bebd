// The findings of report.html: columns for the tables and maps, and in full what does not pass.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "datasets/tensor.hpp"
#include "reports/page_data.hpp"
#include "reports/page_number.hpp"
#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using nlohmann::json;
using probes::Finding;

// The places in full: what does not pass, what has something to say, the worst of each probe, arm and stage.
std::vector<size_t> in_full(const RunResult& run) {
  std::map<std::tuple<std::string, std::string, std::string>, size_t> worst;
  std::vector<bool> wanted(run.findings.size());
  for (size_t i = 0; i < run.findings.size(); ++i) {
    const Finding& finding = run.findings[i];
    wanted[i] = status_of(finding) != probes::Status::pass || !finding.message.empty();
    const auto [place, is_new] =
        worst.emplace(std::tuple(probe_name(finding), finding.arm, finding.stage), i);
    if (!is_new && worst_finding({&run.findings[place->second], &finding}) == &finding) place->second = i;
  }
  for (const auto& [of, i] : worst) wanted[i] = true;
  std::vector<size_t> out;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i]) out.push_back(i);
  return out;
}

}  // namespace

json page_findings(const RunResult& run, PageNumbering& numbers) {
  json out = json::object();
  for (const char* column :
       {"probe", "prompt", "arm", "phase", "layer", "stage", "status", "ratio", "certain", "mae", "max_abs",
        "z", "count", "out", "beyond", "kernel", "contract", "reason"})
    out[column] = json::array();
  for (const Finding& finding : run.findings) {
    const auto& m = finding.metrics;
    out["probe"].push_back(numbers.probes.add(probe_name(finding)));
    out["prompt"].push_back(numbers.prompts.add(finding.prompt));
    out["arm"].push_back(numbers.arms.add(finding.arm));
    out["phase"].push_back(numbers.phases.add(finding.phase));
    out["layer"].push_back(finding.layer);
    out["stage"].push_back(numbers.stages.add(finding.stage));
    out["status"].push_back(static_cast<int>(status_of(finding)));
    out["ratio"].push_back(page_number(m.bound_ratio));
    out["certain"].push_back(page_number(m.certain_ratio));
    out["mae"].push_back(page_number(m.mae));
    out["max_abs"].push_back(page_number(m.max_abs));
    out["z"].push_back(page_number(m.bias_z));
    out["count"].push_back(m.count);
    out["out"].push_back(m.out_of_bound);
    out["beyond"].push_back(m.out_of_certain);
    out["kernel"].push_back(numbers.kernels.add(finding.kernel));
    out["contract"].push_back(numbers.contracts.add(finding.contract));
    out["reason"].push_back(numbers.reasons.add(finding.reason));
  }
  return out;
}

json page_details(const RunResult& run, PageNumbering& numbers) {
  json out = json::array();
  for (const size_t i : in_full(run)) {
    const Finding& finding = run.findings[i];
    const auto& m = finding.metrics;
    json detail = {{"at", i}, {"message", numbers.texts.add(finding.message)}};
    if (!finding.shape.empty()) detail["shape"] = greta::to_string(finding.shape);
    if (m.count > 0 && m.worst >= 0) {
      const auto index = finding.worst_index();
      detail["worst"] = index.empty() ? fmt::format("{}", m.worst) : greta::to_string(index);
      detail["actual"] = page_number_exact(m.worst_actual);
      detail["expected"] = page_number_exact(m.worst_expected);
      detail["bound"] = page_number(m.worst_bound);
    }
    if (m.nan_count > 0) detail["nan"] = m.nan_count;
    if (m.inf_count > 0) detail["inf"] = m.inf_count;
    out.push_back(std::move(detail));
  }
  return out;
}

json page_heads(const RunResult& run) {
  json out = json::array();
  for (size_t i = 0; i < run.findings.size(); ++i) {
    if (run.findings[i].head_ratio.empty()) continue;
    json ratios = json::array();
    for (const float ratio : run.findings[i].head_ratio) ratios.push_back(page_number(ratio));
    out.push_back({{"at", i}, {"ratio", std::move(ratios)}});
  }
  return out;
}

}  // namespace greta::reports
