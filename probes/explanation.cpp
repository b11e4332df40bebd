#include "probes/explanation.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "datasets/cause.hpp"

namespace greta::probes {
namespace {

// "a, b and c"
Message listed(const std::vector<Trial>& trials) {
  std::vector<Message> names;
  for (const auto& trial : trials) names.push_back(verbatim(trial.text()));
  if (names.size() < 2) return joined(names, ", ");
  const Message last = names.back();
  names.pop_back();
  return say("{} and {}", joined(names, ", "), last);
}

Message meaning(const Trial& trial) {
  Message out;
  for (const auto& cause : trial.causes) {
    const Message what = phrase(find_cause(cause).what);
    out = out.empty() ? what : say("{}; and {}", out, what);
  }
  return out;
}

Message in_places(const Explanation& e) {
  if (e.tensors == 1) return say("the failing tensor is inside its error bound");
  if (e.tried == 1)
    return say("the one of {} failing tensors that was tried is inside its error bound", e.tensors);
  return e.tried < e.tensors ? say("the {} of {} failing tensors that were tried are inside its error bound",
                                   e.tried, e.tensors)
                             : say("all {} failing tensors are inside its error bound", e.tensors);
}

Message in_places_of_each(const Explanation& e) {
  if (e.tensors == 1) return say("the failing tensor is inside the error bound of each");
  if (e.tried == 1)
    return say("the one of {} failing tensors that was tried is inside the error bound of each", e.tensors);
  return e.tried < e.tensors
             ? say("the {} of {} failing tensors that were tried are inside the error bound of each", e.tried,
                   e.tensors)
             : say("all {} failing tensors are inside the error bound of each", e.tensors);
}

// Weights with one answer share an explanation.
Message subject(const Explanation& explanation) {
  const bool several = explanation.stage.starts_with("weight/") && explanation.places.size() > 1;
  return several ? say("{} and {} more", explanation.stage, explanation.places.size() - 1)
                 : verbatim(explanation.stage);
}

Message explained(const Explanation& e) {
  const Trial& cause = e.fitting.front();
  if (!e.observed.empty())
    return say("{} fits what was observed: {}. It is not proved: {}.", cause.text(), e.observed, e.tells);
  const Message fits = say("{} explains {} ({}): {} (worst ratio {:.2g})", cause.text(), subject(e),
                           meaning(cause), in_places(e), cause.ratio);
  if (e.excluded.empty()) return say("{}.", fits);
  const Trial& next = e.excluded.front();
  return std::isfinite(next.ratio)
             ? say("{}; the next best, {}, is off by {:.3g} times its own.", fits, next.text(), next.ratio)
             : say("{}; the next best, {}, is off by more than any bound.", fits, next.text());
}

// The best that was excluded, said so that nobody takes it for a cause.
Message unexplained(const Explanation& e) {
  if (!e.observed.empty()) return say("{} is unexplained: {}.", e.stage, e.observed);
  if (e.excluded.empty()) return say("{} is unexplained: no known cause could be tested.", e.stage);
  const Message nobody =
      e.pairs == 0 ? say("no known cause predicts it within its error bound")
                   : say("no known cause, and no pair of them ({} tried), predicts it within its error bound",
                         e.pairs);
  const double misfit = e.excluded.front().ratio;
  return std::isfinite(misfit)
             ? say("{} is unexplained: {}; the smallest misfit, {:.3g} times the bound, is no cause.",
                   e.stage, nobody, misfit)
             : say("{} is unexplained: {}; the smallest misfit, beyond any bound, is no cause.", e.stage,
                   nobody);
}

}  // namespace

std::string_view name_of(Answer answer) {
  switch (answer) {
    case Answer::explained:
      return "explained";
    case Answer::indistinguishable:
      return "indistinguishable";
    case Answer::unexplained:
      return "unexplained";
  }
  return "?";
}

std::string Trial::text() const { return fmt::format("{}", fmt::join(causes, " + ")); }

double Explanation::margin() const {
  return excluded.empty() ? std::numeric_limits<double>::infinity() : excluded.front().ratio;
}

Message Explanation::conclusion() const {
  switch (answer) {
    case Answer::explained:
      return explained(*this);
    case Answer::indistinguishable:
      return say("{} cannot be told apart on {}: {}. {}", listed(fitting), subject(*this),
                 in_places_of_each(*this), tells);
    case Answer::unexplained:
      break;
  }
  return unexplained(*this);
}

}  // namespace greta::probes
