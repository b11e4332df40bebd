// report.md, section "Results": what probes measured beside their verdicts, a table for each probe.
#include "reports/figures.hpp"
#include "reports/markdown_text.hpp"

namespace greta::reports::markdown {
namespace {

constexpr size_t kMostRows = 120;

std::string table_of(const FigureTable& table, Language language) {
  std::vector<std::string> head;
  for (const auto& name : table.header) head.push_back(escaped(in(language, name)));
  std::string out = head_of(head, table.names);
  for (const auto& row : table.rows) {
    std::vector<std::string> cells;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const bool missing = row.cells[i].empty() && i >= table.names;
      cells.push_back(missing ? "·" : escaped(row.cells[i]));
    }
    out += row_of(cells);
  }
  if (table.left_out > 0)
    out += "\n" + tr(language, "{} more rows are in verdicts.json.", table.left_out) + "\n";
  return out + "\n";
}

}  // namespace

std::string figures_text(const RunResult& run, Language language) {
  std::string out;
  for (const auto& table : measured_tables(run, kMostRows))
    out += heading(3, tr(language, "Figures of {}", escaped(in(language, table.title)))) +
           table_of(table, language);
  return out;
}

}  // namespace greta::reports::markdown
