#include "reports/explanations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "datasets/cause.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Answer;
using probes::Explanation;
using probes::Trial;

constexpr size_t kShown = 4;  // of what is excluded; the rest is counted

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

std::string more(size_t all, size_t shown, std::string_view what) {
  return all > shown ? fmt::format(", and {} more{}", all - shown, what) : "";
}

std::string excluded_text(const Explanation& e) {
  std::string out;
  for (size_t i = 0; i < std::min(kShown, e.excluded.size()); ++i) {
    const Trial& trial = e.excluded[i];
    out += fmt::format("{}{} (ratio {}{})", out.empty() ? "" : ", ", trial.text(), ratio_text(trial.ratio),
                       trial.note.empty() ? "" : ": " + trial.note.text());
  }
  return out + more(e.excluded.size(), kShown, " with larger misfits");
}

std::string untested_text(const Explanation& e) {
  std::string out;
  for (size_t i = 0; i < std::min(kShown, e.not_applicable.size()); ++i)
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", e.not_applicable[i].text(),
                       e.not_applicable[i].note.text());
  return out + more(e.not_applicable.size(), kShown, "");
}

}  // namespace

std::string explanation_text(const Explanation& e, bool colours) {
  std::string out = fmt::format("  {}  {}{}\n", paint(upper(name_of(e.answer)), "1", colours), e.stage,
                                e.arm.empty() ? "" : ", arm " + e.arm);
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("    {:<11} {}\n", name, value);
  };
  line("says", e.conclusion().text());
  for (const auto& trial : e.fitting)
    for (const auto& text : trial.causes) {
      const Cause& cause = find_cause(text);
      line("cause", fmt::format("{}: {} (seen: {})", text, cause.what, cause.seen));
    }
  line("fails in", e.scope.text());
  line("excluded", excluded_text(e));
  line("not tested", untested_text(e));
  line("note", e.note.text());
  if (!e.places.empty()) line("findings", e.places.front() + more(e.places.size(), 1, " of them"));
  if (!e.consequences.empty())
    line("behind it",
         fmt::format("{} fail because of this: {}{}", grouped(static_cast<int64_t>(e.consequences.size())),
                     e.consequences.front(), more(e.consequences.size(), 1, "")));
  return out;
}

std::string explanations_section(const RunResult& run, bool colours) {
  if (run.explanations.empty()) return {};
  std::string out = "\n" + paint("explanations of the stages that fail", "1", colours) + "\n";
  for (const auto& explanation : run.explanations) out += explanation_text(explanation, colours);
  return out;
}

}  // namespace greta::reports
