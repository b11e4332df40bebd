#include "reports/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace greta::reports {

int display_width(std::string_view utf8) {
  return static_cast<int>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string paint(std::string_view text, std::string_view colour, bool colours) {
  if (!colours || colour.empty() || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", colour, text);
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

void Table::add_row(std::vector<TextCell> cells) { rows_.push_back(std::move(cells)); }

std::string Table::text(bool colours, int indent) const {
  std::vector<int> widths;
  for (size_t column = 0; column < header_.size(); ++column) {
    int width = display_width(header_[column]);
    for (const auto& row : rows_) width = std::max(width, display_width(row[column].text));
    widths.push_back(width);
  }
  std::string out;
  const auto put_row = [&](auto&& cell_at) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t column = 0; column < widths.size(); ++column) {
      const TextCell cell = cell_at(column);
      const std::string padding(static_cast<size_t>(widths[column] - display_width(cell.text)), ' ');
      const std::string painted = paint(cell.text, cell.colour, colours);
      line += column == 0 ? painted + padding : "  " + padding + painted;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  put_row([&](size_t column) { return TextCell{header_[column], "2"}; });
  for (const auto& row : rows_) put_row([&](size_t column) { return row[column]; });
  return out;
}

std::string labelled(const LabelledLines& lines, int indent, int least) {
  int width = least;
  for (const auto& [name, value] : lines)
    if (!value.empty()) width = std::max(width, display_width(name));
  std::string out;
  for (const auto& [name, value] : lines) {
    if (value.empty()) continue;
    out.append(static_cast<size_t>(indent), ' ').append(name);
    out.append(static_cast<size_t>(width - display_width(name)) + 1, ' ').append(value) += '\n';
  }
  return out;
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  const int first = number < 0 ? 1 : 0;
  for (int at = static_cast<int>(digits.size()) - 3; at > first; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

std::string duration(double seconds) {
  if (!(seconds >= 0) || std::isinf(seconds)) return "?";
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 99.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string shell_quoted(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace greta::reports
