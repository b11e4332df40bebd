#include "reports/expected_figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/message.hpp"

namespace greta::reports {
namespace {

using probes::Figure;

bool met(const Figure& figure, const ExpectedFigure& expected) {
  if (!expected.is.empty()) return figure.text == expected.is;
  return figure.value >= expected.at_least && figure.value <= expected.at_most;
}

std::string what_came(const Figure& figure) {
  return figure.text.empty() ? fmt::format("{:.3g}", figure.value) : figure.text;
}

}  // namespace

Message ExpectedFigure::text() const {
  std::string out = figure;
  if (!is.empty()) out += " " + is;
  if (std::isfinite(at_least)) out += fmt::format(" >= {:.3g}", at_least);
  if (std::isfinite(at_most)) out += fmt::format(" <= {:.3g}", at_most);
  return in.empty() ? verbatim(out) : say("{} in '{}'", out, in);
}

Message unmet_figures(const RunResult& run, const ArmResult& arm) {
  for (const auto& expected : arm.expect.figures) {
    int64_t seen = 0;
    for (const auto& finding : run.findings) {
      if (finding.arm != arm.name || !probes::matches(expected.in, finding.key())) continue;
      for (const auto& figure : finding.figures) {
        if (figure.name != expected.figure) continue;
        ++seen;
        if (!met(figure, expected))
          return say("the figure {} is {}{} in {}", expected.text(), what_came(figure),
                     figure.of.empty() ? "" : " (" + figure.of + ")", finding.key());
      }
    }
    if (seen == 0) return say("no finding has the figure {}", expected.text());
  }
  return {};
}

std::string refusing_controls(const RunResult& run, std::string_view arm) {
  std::vector<std::string> names;
  for (const auto& control : run.controls)
    if (control.arm == arm && control.status != probes::Status::pass &&
        std::find(names.begin(), names.end(), control.name) == names.end())
      names.push_back(control.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace greta::reports
