// The words that the acceptance has in common on the terminal and on paper.
#pragma once

#include <string>

#include "reports/acceptance.hpp"

namespace greta::reports {

Message decision_word(Decision);                                       // "ACCEPTED"
Message decision_sentence(const Acceptance&);                          // what was found, in one sentence
std::string figure_text(const std::optional<probes::Figure>& figure);  // "0.00125", "row", "·"
std::string judged_text(const Judged&);                                // "✗12.4", "0.03"
std::string layer_text(int layer);                                     // "3", "·"

}  // namespace greta::reports
