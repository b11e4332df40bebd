// report.md, section "Results": what probes report beside their verdicts, a table for each probe. A row is a
// finding, or the part of it that a figure is of; a column that says the same in every row goes above the
// table.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "reports/markdown_text.hpp"

namespace greta::reports::markdown {
namespace {

using probes::Figure;
using probes::Finding;

constexpr size_t kMostRows = 120;

struct Row {
  const Finding* finding;
  std::string of;
  std::vector<std::string> cells;  // in the order of the columns; empty: nothing was reported
};

struct Figures {
  std::vector<std::string> columns;
  std::vector<Row> rows;
};

std::string cell_of(const Figure& figure) {
  if (!figure.text.empty()) return escaped(figure.text);
  return std::isfinite(figure.value) ? fmt::format("{:.4g}", figure.value) : fmt::format("{}", figure.value);
}

Figures figures_of(const FindingRefs& findings) {
  Figures out;
  for (const Finding* finding : findings) {
    const size_t begin = out.rows.size();
    for (const auto& figure : finding->figures) {
      auto row = std::find_if(out.rows.begin() + static_cast<std::ptrdiff_t>(begin), out.rows.end(),
                              [&](const Row& r) { return r.of == figure.of; });
      if (row == out.rows.end()) row = out.rows.insert(row, {finding, figure.of, {}});
      const auto column = std::find(out.columns.begin(), out.columns.end(), figure.name);
      const auto at = static_cast<size_t>(column - out.columns.begin());
      if (column == out.columns.end()) out.columns.push_back(figure.name);
      if (row->cells.size() <= at) row->cells.resize(at + 1);
      row->cells[at] = cell_of(figure);
    }
  }
  for (auto& row : out.rows) row.cells.resize(out.columns.size());
  return out;
}

// The names of a row: arm, prompt, phase, layer, stage, part.
using Names = std::array<std::string, 6>;

Names names_of(const Row& row) {
  const Finding& f = *row.finding;
  return {f.arm, f.prompt, f.phase, f.layer < 0 ? "" : std::to_string(f.layer), f.stage, row.of};
}

std::string table_of(const Figures& figures, Language language) {
  const Names titles = {tr(language, "arm"),   tr(language, "prompt"), tr(language, "phase"),
                        tr(language, "layer"), tr(language, "stage"),  tr(language, "part")};
  const Names first = names_of(figures.rows.front());
  Names same = first;
  std::array<bool, 6> varies{};
  for (const auto& row : figures.rows) {
    const Names names = names_of(row);
    for (size_t i = 0; i < names.size(); ++i) varies[i] = varies[i] || names[i] != same[i];
  }
  std::string caption;
  std::vector<std::string> head;
  for (size_t i = 0; i < titles.size(); ++i) {
    if (varies[i])
      head.push_back(titles[i]);
    else if (!same[i].empty())
      caption += (caption.empty() ? "" : ", ") + titles[i] + " " + code(same[i]);
  }
  const size_t words = head.size();
  for (const auto& column : figures.columns) head.push_back(escaped(column));
  std::string out = caption.empty() ? "" : caption + "\n\n";
  out += head_of(head, words);
  for (size_t r = 0; r < std::min(figures.rows.size(), kMostRows); ++r) {
    const Row& row = figures.rows[r];
    const Names names = names_of(row);
    std::vector<std::string> cells;
    for (size_t i = 0; i < names.size(); ++i)
      if (varies[i]) cells.push_back(escaped(names[i]));
    for (const auto& cell : row.cells) cells.push_back(cell.empty() ? "·" : cell);
    out += row_of(cells);
  }
  if (figures.rows.size() > kMostRows)
    out += "\n" + tr(language, "{} more rows are in verdicts.json.", figures.rows.size() - kMostRows) + "\n";
  return out + "\n";
}

}  // namespace

std::string figures_text(const RunResult& run, Language language) {
  std::string out;
  for (const auto& probe : group_by(all_findings(run), probe_name)) {
    const Figures figures = figures_of(probe.findings);
    if (figures.rows.empty()) continue;
    out += heading(3, tr(language, "Figures of {}", escaped(probe.name))) + table_of(figures, language);
  }
  return out;
}

}  // namespace greta::reports::markdown
