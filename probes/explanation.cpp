#include "probes/explanation.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "datasets/cause.hpp"

namespace greta::probes {
namespace {

std::string joined(const std::vector<Trial>& trials, std::string_view separator) {
  std::string out;
  for (const auto& trial : trials) out += (out.empty() ? "" : std::string(separator)) + trial.text();
  return out;
}

std::string meaning(const Trial& trial) {
  std::string out;
  for (const auto& cause : trial.causes)
    out += (out.empty() ? "" : "; and ") + std::string(find_cause(cause).what);
  return out;
}

std::string in_places(const Explanation& explanation) {
  if (explanation.tensors == 1) return "the failing tensor";
  return explanation.tried < explanation.tensors ? fmt::format("the {} of {} failing tensors that were tried",
                                                               explanation.tried, explanation.tensors)
                                                 : fmt::format("all {} failing tensors", explanation.tensors);
}

std::string next_best(const Explanation& explanation) {
  if (explanation.excluded.empty()) return {};
  const Trial& best = explanation.excluded.front();
  return fmt::format(
      "; the next best, {}, is off by {}", best.text(),
      std::isfinite(best.ratio) ? fmt::format("{:.3g} times its own", best.ratio) : "more than any bound");
}

// Weights with one answer share an explanation.
std::string subject(const Explanation& explanation) {
  const bool several = explanation.stage.starts_with("weight/") && explanation.places.size() > 1;
  return several ? fmt::format("{} and {} more", explanation.stage, explanation.places.size() - 1)
                 : explanation.stage;
}

// The best that was excluded, said so that nobody takes it for a cause.
std::string best_misfit(const Explanation& explanation) {
  if (explanation.excluded.empty()) return "no known cause could be tested";
  const Trial& best = explanation.excluded.front();
  const std::string pairs =
      explanation.pairs == 0 ? "" : fmt::format(", and no pair of them ({} tried),", explanation.pairs);
  const std::string misfit = std::isfinite(best.ratio)
                                 ? fmt::format("the smallest misfit, {:.3g} times the bound,", best.ratio)
                                 : std::string("the smallest misfit, beyond any bound,");
  return fmt::format("no known cause{} predicts it within its error bound; {} is no cause", pairs, misfit);
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

std::string Explanation::conclusion() const {
  switch (answer) {
    case Answer::explained:
      if (!observed.empty())
        return fmt::format("{} fits what was observed: {}. It is not proved: {}.", fitting.front().text(),
                           observed, tells);
      return fmt::format("{} explains {} ({}): {} {} inside its error bound (worst ratio {:.2g}){}.",
                         fitting.front().text(), subject(*this), meaning(fitting.front()), in_places(*this),
                         tensors == 1 ? "is" : "are", fitting.front().ratio, next_best(*this));
    case Answer::indistinguishable:
      return fmt::format("{} cannot be told apart on {}: {} {} inside the error bound of each. {}",
                         joined(fitting, " and "), subject(*this), in_places(*this),
                         tensors == 1 ? "is" : "are", tells);
    case Answer::unexplained:
      break;
  }
  if (!observed.empty()) return fmt::format("{} is unexplained: {}.", stage, observed);
  return fmt::format("{} is unexplained: {}.", stage, best_misfit(*this));
}

}  // namespace greta::probes
