// Text in columns, as wide as a terminal shows it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace greta::reports {

// Columns that UTF-8 text takes: code points, each one column wide (nothing wider is printed here).
int display_width(std::string_view utf8);

struct TextCell {
  std::string text;
  std::string_view colour;  // an SGR number ("31"), or empty
};

// The first column is left-aligned, the others right-aligned; two spaces between them, `indent` before.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void add_row(std::vector<TextCell> cells);  // as many as the header has
  std::string text(bool colours, int indent = 2) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<TextCell>> rows_;
};

// Names and what they are, a line each, the values in one column at `least` or beyond; a line without a value
// is left out.
using LabelledLines = std::vector<std::pair<std::string, std::string>>;
std::string labelled(const LabelledLines& lines, int indent, int least);

std::string paint(std::string_view text, std::string_view colour, bool colours);

// 1234567 -> "1,234,567".
std::string grouped(int64_t number);
std::string duration(double seconds);  // "0.42 s", "12.3 s", "2 min 05 s", "1 h 02 min"
// A word for /bin/sh: quoted when it needs to be.
std::string shell_quoted(std::string_view word);

}  // namespace greta::reports
