#include "reports/markdown_text.hpp"

#include <fmt/format.h>

namespace greta::reports::markdown {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += ' ';
      continue;
    }
    if (std::string_view("|<*_`").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", text); }

std::string bullets(Language language, const std::vector<Message>& items) {
  std::string out;
  for (const auto& item : items) out += "- " + escaped(in(language, item)) + "\n";
  return out.empty() ? out : out + "\n";
}

std::string heading(int level, const std::string& text) {
  return std::string(static_cast<size_t>(level), '#') + " " + text + "\n\n";
}

std::string row_of(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const auto& cell : cells) out += " " + cell + " |";
  return out + "\n";
}

std::string head_of(const std::vector<std::string>& names, size_t words) {
  std::vector<std::string> rule(names.size(), "---:");
  for (size_t i = 0; i < words && i < rule.size(); ++i) rule[i] = "---";
  return row_of(names) + row_of(rule);
}

std::string grid_text(const Grid& grid, const std::string& corner) {
  std::vector<std::string> names = {corner};
  for (const auto& column : grid.columns) names.push_back(escaped(column));
  std::string out = head_of(names, 1);
  for (size_t row = 0; row < grid.rows.size(); ++row) {
    std::vector<std::string> cells = {escaped(grid.rows[row])};
    for (const auto& cell : grid.cells[row]) {
      const bool good = cell.findings == 0 || cell.status == probes::Status::pass;
      const std::string text = escaped(to_string(cell));
      cells.push_back(good ? text : "**" + text + "**");
    }
    out += row_of(cells);
  }
  return out + "\n";
}

std::string detail(const std::string& name, const std::string& value) {
  return value.empty() ? "" : fmt::format("  - {}: {}\n", name, value);
}

}  // namespace greta::reports::markdown
