#include "reports/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "datasets/stage.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;

// NaN is the worst of all ratios.
double rank_of(double ratio) { return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio; }
bool worse_than(Status a_status, double a, Status b_status, double b) {
  if (a_status != b_status) return probes::worse(a_status, b_status) == a_status;
  if (std::isnan(a) != std::isnan(b)) return std::isnan(a);
  return rank_of(a) > rank_of(b);
}

// Position in the forward pass; names that are no stage come last.
int order_of(std::string_view stage) {
  for (const auto& row : stages())
    if (row.name == stage) return static_cast<int>(row.stage);
  return kStageCount;
}

size_t index_of(std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  names.push_back(name);
  return names.size() - 1;
}

Cell& at(Grid& grid, size_t row, size_t column) {
  if (grid.cells.size() <= row) grid.cells.resize(row + 1);
  if (grid.cells[row].size() <= column) grid.cells[row].resize(column + 1);
  return grid.cells[row][column];
}

void square(Grid& grid) {
  grid.cells.resize(grid.rows.size());
  for (auto& row : grid.cells) row.resize(grid.columns.size());
}

}  // namespace

void Cell::add(const Finding& finding) {
  const Status other = status_of(finding);
  if (findings++ == 0 || worse_than(other, finding.metrics.bound_ratio, status, ratio)) {
    status = other;
    ratio = finding.metrics.bound_ratio;
  }
}

std::string ratio_text(double ratio) {
  if (std::isnan(ratio)) return "nan";
  if (std::isinf(ratio)) return "inf";
  if (ratio == 0) return "0";
  if (ratio < 0.001) return "<.001";
  if (ratio < 0.1) return fmt::format("{:.3f}", ratio);
  if (ratio < 0.995) return fmt::format("{:.2f}", ratio);
  if (ratio <= 1) return fmt::format("{:.5f}", std::min(ratio, ratio < 1 ? 0.99999 : 1.0));
  if (ratio < 1.01) return ">1";
  if (ratio < 99.95) return fmt::format("{:.3g}", ratio);
  if (ratio < 9999.5) return fmt::format("{:.0f}", ratio);
  const int exponent = static_cast<int>(std::floor(std::log10(ratio)));
  return fmt::format("{:.0f}e{}", std::floor(ratio / std::pow(10.0, exponent)), exponent);
}

std::string to_string(const Cell& cell) {
  if (cell.findings == 0) return "·";
  if (cell.status == Status::invalid) return std::isnan(cell.ratio) ? "?nan" : "?";
  if (cell.status == Status::pass) return ratio_text(cell.ratio);
  return cell.ratio <= 1 ? "✗"
                         : "✗" + ratio_text(cell.ratio);  // a probe may fail on something else than a bound
}

bool is_weight(const Finding& finding) { return finding.stage.starts_with("weight/"); }

Grid stage_by_layer(const FindingRefs& findings, int max_columns, Language language) {
  std::set<std::pair<int, std::string>> rows;
  bool outside = false;
  int last = -1;
  for (const auto* finding : findings) {
    if (finding->stage.empty() || is_weight(*finding)) continue;
    rows.emplace(order_of(finding->stage), finding->stage);
    outside |= finding->layer < 0;
    last = std::max(last, finding->layer);
  }
  Grid grid;
  for (const auto& row : rows) grid.rows.push_back(row.second);
  if (outside) grid.columns.push_back(tr(language, "model"));
  const int shift = outside ? 1 : 0;
  const int room = std::max(1, max_columns - shift);
  const int span = std::max(0, last) / room + 1;  // layers a column: ceil((last + 1) / room)
  for (int first = 0; first <= last; first += span) {
    const int end = std::min(first + span - 1, last);
    grid.columns.push_back(end == first ? fmt::format("{}", first) : fmt::format("{}-{}", first, end));
  }
  square(grid);
  for (const auto* finding : findings) {
    const auto row = rows.find({order_of(finding->stage), finding->stage});
    if (row == rows.end()) continue;
    const int column = finding->layer < 0 ? 0 : shift + finding->layer / span;
    grid.cells[static_cast<size_t>(std::distance(rows.begin(), row))][static_cast<size_t>(column)].add(
        *finding);
  }
  return grid;
}

Grid by_arm(const RunResult& run, const std::function<std::string(const Finding&)>& row_of) {
  Grid grid;
  for (const auto& arm : run.arms) grid.columns.push_back(arm.name);
  for (const auto& finding : run.findings) {
    const size_t row = index_of(grid.rows, row_of(finding));
    at(grid, row, index_of(grid.columns, finding.arm.empty() ? "none" : finding.arm)).add(finding);
  }
  square(grid);
  return grid;
}

Grid by_prompt(const RunResult& run, Language language) {
  Grid grid;
  if (std::any_of(run.findings.begin(), run.findings.end(), is_weight))
    grid.columns.push_back(tr(language, "weights"));
  grid.columns.insert(grid.columns.end(), run.prompts.begin(), run.prompts.end());
  for (const auto& arm : run.arms) grid.rows.push_back(arm.name);
  for (const auto& finding : run.findings) {
    const size_t row = index_of(grid.rows, finding.arm);
    at(grid, row, index_of(grid.columns, is_weight(finding) ? tr(language, "weights") : finding.prompt))
        .add(finding);
  }
  square(grid);
  return grid;
}

Grid by_probe(const RunResult& run) { return by_arm(run, probe_name); }

Grid by_case(const RunResult& run, Language language) {
  return by_arm(run, [language](const Finding& finding) {
    return is_weight(finding) ? tr(language, "weights") : case_name(finding);
  });
}

std::string probe_name(const Finding& finding) {
  return finding.mode.empty() ? finding.probe : fmt::format("{} ({})", finding.probe, finding.mode);
}

std::string case_name(const Finding& finding) {
  if (is_weight(finding)) return "weights";
  return finding.phase.empty() ? finding.prompt : finding.prompt + " " + finding.phase;
}

std::vector<Group> group_by(const FindingRefs& findings,
                            const std::function<std::string(const Finding&)>& name_of) {
  std::vector<Group> groups;
  std::map<std::string, size_t> places;
  for (const auto* finding : findings) {
    const auto [place, is_new] = places.emplace(name_of(*finding), groups.size());
    if (is_new) groups.push_back({place->first, {}});
    groups[place->second].findings.push_back(finding);
  }
  return groups;
}

FindingRefs all_findings(const RunResult& run) {
  FindingRefs refs;
  for (const auto& finding : run.findings) refs.push_back(&finding);
  return refs;
}

FindingRefs select(const FindingRefs& findings, const std::function<bool(const Finding&)>& wanted) {
  FindingRefs chosen;
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(chosen),
               [&](const auto* finding) { return wanted(*finding); });
  return chosen;
}

Status worst_status(const FindingRefs& findings) {
  Status worst = findings.empty() ? Status::invalid : Status::pass;
  for (const auto* finding : findings) worst = probes::worse(worst, status_of(*finding));
  return worst;
}

const Finding* worst_finding(const FindingRefs& findings) {
  const Finding* worst = nullptr;
  for (const auto* finding : findings)
    if (!worst || worse_than(status_of(*finding), finding->metrics.bound_ratio, status_of(*worst),
                             worst->metrics.bound_ratio))
      worst = finding;
  return worst;
}

bool has_stages(const FindingRefs& findings) {
  std::set<std::string_view> seen;
  for (const auto* finding : findings)
    if (!finding->stage.empty() && !is_weight(*finding)) seen.insert(finding->stage);
  return seen.size() > 1;
}

bool all_zero(const FindingRefs& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const auto* finding) {
    return status_of(*finding) == Status::pass && finding->metrics.bound_ratio == 0;
  });
}

const Finding* first_failing(const RunResult& run, const ArmResult& arm) {
  const Finding* first = nullptr;
  for (const auto& finding : run.findings) {
    if (finding.arm != arm.name || status_of(finding) != Status::fail) continue;
    if (!arm.first_failing.empty() && finding.key() == arm.first_failing) return &finding;
    if (!first) first = &finding;
  }
  return first;
}

}  // namespace greta::reports
