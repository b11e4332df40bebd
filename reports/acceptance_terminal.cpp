// The acceptance for a person at a terminal: the bars, the figures, what is broken, and the decision last.
#include <fmt/format.h>

#include <algorithm>

#include "reports/acceptance_words.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Status;

constexpr size_t kRows = 60, kListed = 12;

struct Writer {
  const Acceptance& it;
  Language language;
  bool colours;
  std::string in(const Message& message) const { return reports::in(language, message); }
  std::string_view colour(Status status) const { return status == Status::pass ? "" : "31"; }

  std::string bars() const {
    if (it.bars.empty()) return {};
    Table table({in(say("worst bound ratio")), in(say("before")), in(say("after")), in(say("MAE before")),
                 in(say("MAE after")), in(say("change"))});
    for (const auto& bar : it.bars)
      table.add_row({{bar.stage.empty() ? bar.probe : bar.probe + " " + bar.stage, {}},
                     {judged_text(bar.before), colour(bar.before.status)},
                     {judged_text(bar.after), colour(bar.after.status)},
                     {fmt::format("{:.3g}", bar.before.mae), {}},
                     {fmt::format("{:.3g}", bar.after.mae), {}},
                     {in(name_of(bar.change())), bar.change() == Change::broken ? "31" : ""}});
    return table.text(colours) + "\n";
  }

  std::string figures(const FigurePairs& from) const {
    std::vector<std::string> header = {from.probe, ""};
    header.insert(header.end(), from.names.begin(), from.names.end());
    Table table(header);
    const size_t shown = std::min(from.rows.size(), kRows);
    for (size_t i = 0; i < shown; ++i) {
      const auto& row = from.rows[i];
      std::string place = row.prompt;
      for (const std::string& word :
           {row.phase, row.layer < 0 ? std::string() : std::to_string(row.layer), row.stage, row.of})
        if (!word.empty()) place += " " + word;
      for (const auto half : {&FigurePair::before, &FigurePair::after}) {
        const bool first = half == &FigurePair::before;
        std::vector<TextCell> cells = {{first ? place : "", {}},
                                       {in(first ? say("before") : say("after")), {}}};
        for (const auto& figure : row.*half) cells.push_back({figure_text(figure), {}});
        table.add_row(std::move(cells));
      }
    }
    std::string text = table.text(colours);
    if (from.rows.size() > shown)
      text += "  " + in(say("and {} more, in acceptance.json", from.rows.size() - shown)) + "\n";
    return text + "\n";
  }

  std::string listed(const Message& heading, const std::vector<ChangedPlace>& places) const {
    if (places.empty()) return {};
    std::string text = in(heading) + "\n";
    for (size_t i = 0; i < std::min(places.size(), kListed); ++i)
      text += fmt::format("  {}  {} → {}\n", places[i].key, judged_text(places[i].before),
                          judged_text(places[i].after));
    if (places.size() > kListed)
      text += "  " + in(say("and {} more, in acceptance.json", places.size() - kListed)) + "\n";
    return text + "\n";
  }
};

}  // namespace

std::string acceptance_terminal(const Acceptance& it, Language language, bool colours) {
  const Writer write{it, language, colours};
  std::string text = fmt::format("{:<8} {}\n{:<8} {}\n\n", write.in(say("before")), it.before.given,
                                 write.in(say("after")), it.after.given);
  text += write.bars();
  for (const auto& table : it.figures) text += write.figures(table);
  text += write.listed(say("passed before, and does not after:"), it.broken);
  text += write.listed(say("passes neither before nor after:"), it.still_failing);
  for (const auto& reason : it.invalid) text += write.in(say("no verdict: {}", reason)) + "\n";
  const std::string_view colour = it.decision == Decision::accepted ? "32" : "31";
  return text + paint(write.in(decision_word(it.decision)), colour, colours) + "  " +
         write.in(decision_sentence(it)) + "\n";
}

}  // namespace greta::reports
