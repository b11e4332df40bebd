// What report.html sums up before it plots: histograms by arm and stage, drift by arm and prompt, figures.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "reports/drift.hpp"
#include "reports/page_data.hpp"
#include "reports/page_number.hpp"
#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using nlohmann::json;
using probes::Finding;

void add_bins(probes::RatioHistogram& sum, const probes::RatioHistogram& bins) {
  sum.resize(std::max(sum.size(), bins.size()));
  for (size_t i = 0; i < bins.size(); ++i) sum[i] += bins[i];
}

json points_json(const std::vector<Drift::Point>& points) {
  json out = json::array();
  for (const auto& point : points) out.push_back({point.first, point.last, page_number(point.ratio)});
  return out;
}

// `prompt`: "" for all of them.
json drift_line(const FindingRefs& findings, const std::string& arm, const std::string& prompt) {
  RunResult part;  // drift_of looks at findings only
  for (const auto* finding : findings)
    if (prompt.empty() || finding->prompt == prompt) part.findings.push_back(*finding);
  const Drift drift = drift_of(part);
  if (drift.by_position.empty()) return {};
  json line = {{"arm", arm},
               {"prompt", prompt},
               {"layers", points_json(drift.by_layer)},
               {"positions", points_json(drift.by_position)}};
  if (drift.logits) line["logits"] = page_number(*drift.logits);
  return line;
}

json figure_cell(const probes::Figure& figure) {
  return figure.text.empty() ? page_number_exact(figure.value) : json(figure.text);
}

}  // namespace

json page_histograms(const RunResult& run, PageNumbering& numbers) {
  struct Sum {
    probes::RatioHistogram expected, certain;
  };
  std::map<std::pair<int, int>, Sum> sums;  // arm, stage
  for (const Finding& finding : run.findings) {
    if (finding.by_expected.empty() && finding.by_certain.empty()) continue;
    auto& sum = sums[{numbers.arms.add(finding.arm), numbers.stages.add(finding.stage)}];
    add_bins(sum.expected, finding.by_expected);
    add_bins(sum.certain, finding.by_certain);
  }
  json out = json::array();
  for (const auto& [at, sum] : sums)
    out.push_back(
        {{"arm", at.first}, {"stage", at.second}, {"expected", sum.expected}, {"certain", sum.certain}});
  return out;
}

json page_drift(const RunResult& run) {
  json out = json::array();
  const auto with_rows = select(all_findings(run), [](const Finding& f) { return !f.row_ratio.empty(); });
  for (const auto& arm : group_by(with_rows, [](const Finding& f) { return f.arm; })) {
    std::vector<std::string> prompts = {""};
    for (const auto& prompt : group_by(arm.findings, [](const Finding& f) { return f.prompt; }))
      prompts.push_back(prompt.name);
    for (const auto& prompt : prompts)
      if (json line = drift_line(arm.findings, arm.name, prompt); !line.is_null())
        out.push_back(std::move(line));
  }
  return out;
}

json page_bias(const RunResult& run) {
  json out = json::array();
  for (const auto& bias : drift_of(run).bias)
    out.push_back({bias.stage, bias.arm, page_number(bias.z), bias.findings});
  return out;
}

// A table a probe: `columns`, and rows [finding, of, a cell each]; null where a finding has no such figure.
json page_figures(const RunResult& run, PageNumbering& numbers) {
  struct Table {
    PageNames columns;
    std::vector<std::pair<json, std::map<int, json>>> rows;
  };
  std::vector<std::pair<int, Table>> tables;  // by probe, in order of appearance
  for (size_t i = 0; i < run.findings.size(); ++i) {
    std::map<std::string, size_t> parts;  // of this finding: `of` -> row
    for (const auto& figure : run.findings[i].figures) {
      const int probe = numbers.probes.add(probe_name(run.findings[i]));
      auto table =
          std::find_if(tables.begin(), tables.end(), [&](const auto& t) { return t.first == probe; });
      if (table == tables.end()) table = tables.insert(tables.end(), {probe, {}});
      auto& [columns, rows] = table->second;
      const auto [part, is_new] = parts.emplace(figure.of, rows.size());
      if (is_new) rows.push_back({json::array({i, figure.of}), {}});
      rows[part->second].second[columns.add(figure.name)] = figure_cell(figure);
    }
  }
  json out = json::array();
  for (auto& [probe, table] : tables) {
    json rows = json::array();
    for (auto& [row, cells] : table.rows) {
      row.get_ref<json::array_t&>().resize(2 + table.columns.json().size());
      for (auto& [column, cell] : cells) row[2 + static_cast<size_t>(column)] = std::move(cell);
      rows.push_back(std::move(row));
    }
    out.push_back({{"probe", probe}, {"columns", table.columns.json()}, {"rows", std::move(rows)}});
  }
  return out;
}

}  // namespace greta::reports
