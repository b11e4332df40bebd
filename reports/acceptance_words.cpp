#include "reports/acceptance_words.hpp"

#include <fmt/format.h>

#include <cmath>

#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {

Message name_of(Change change) {
  switch (change) {
    case Change::fixed:
      return say("fixed");
    case Change::broken:
      return say("broken");
    case Change::smaller:
      return say("smaller");
    case Change::larger:
      return say("larger");
    case Change::same:
      break;
  }
  return say("the same");
}

Message decision_word(Decision decision) {
  switch (decision) {
    case Decision::accepted:
      return say("ACCEPTED");
    case Decision::refused:
      return say("REFUSED");
    case Decision::none:
      break;
  }
  return say("NO VERDICT");
}

Message decision_sentence(const Acceptance& it) {
  const std::string places = grouped(it.places);
  switch (it.decision) {
    case Decision::accepted:
      if (it.fixed.empty())
        return say(
            "all {} comparisons pass after, as they did before: nothing was broken, and there was nothing "
            "to fix",
            places);
      return say("{} comparisons that did not pass before do so after, and none of {} is out of its bound",
                 grouped(static_cast<int64_t>(it.fixed.size())), places);
    case Decision::refused:
      return say(
          "of {} comparisons {} that passed before do not pass after, and {} pass neither before nor after",
          places, grouped(static_cast<int64_t>(it.broken.size())),
          grouped(static_cast<int64_t>(it.still_failing.size())));
    case Decision::none:
      break;
  }
  return say("nothing follows from holding these two against each other");
}

std::string figure_text(const std::optional<probes::Figure>& figure) {
  if (!figure) return "·";
  return figure->text.empty() ? fmt::format("{:.4g}", figure->value) : figure->text;
}

std::string judged_text(const Judged& judged) { return to_string(Cell{judged.status, judged.ratio, 1}); }

std::string layer_text(int layer) { return layer < 0 ? "·" : fmt::format("{}", layer); }

}  // namespace greta::reports
