// The vocabulary of causes: the ways in which a stage is known to go wrong. One catalogue, two readings:
// engine/ plants a cause as a fault, reference/ tests it as a hypothesis, each from what is written here and
// neither from the other's code.
// To add a cause: one row of the table in cause.cpp, its fault (engine/faults/) and its hypothesis
// (reference/hypotheses/); greta selftest then holds one against the other.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/stage.hpp"

namespace greta {

// `what`, `seen` and `tells` are for a person: phrase(cause.what) says them in any language.
struct Cause {
  std::string_view name, value;  // "weight_layout", "col"
  std::string_view stages;   // "q k v": the stages that it can break; "weight": the engine's view of weights;
                             // empty: it makes nothing wrong, only other than what was asked for
  std::string_view what;     // exactly what is computed instead
  std::string_view seen;     // where it was met, or how it comes about
  std::string_view tells;    // which data tell it from causes that look alike
  std::string text() const;  // "weight_layout=col"
  bool breaks(Stage) const;
  bool breaks_weights() const;  // `stages` is "weight"
};

std::span<const Cause> causes();
// By "name=value"; Error (usage) with the nearest right one.
const Cause& find_cause(std::string_view text);

}  // namespace greta
