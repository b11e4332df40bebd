// What a finding, a control or an explanation says, in a language; plain text is the same in all of them.
#pragma once

#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

inline std::string said(Language, const std::string& text) { return text; }
inline std::string said(Language language, const Message& message) { return in(language, message); }

// The type of outcome_of's sentence.
template <typename Sentence>
Sentence sentence_of(probes::Status (*)(const RunResult&, const ArmResult&, Sentence*));

// What was expected of an arm and what came, where that differs; empty where it does not.
inline std::string unmet(const RunResult& run, const ArmResult& arm, Language language) {
  decltype(sentence_of(&outcome_of)) why;
  outcome_of(run, arm, &why);
  return said(language, why);
}

}  // namespace greta::reports
