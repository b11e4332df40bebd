// What was expected of an arm and what came, in words.
#pragma once

#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

// Empty where it came as expected.
inline std::string unmet(const RunResult& run, const ArmResult& arm, Language language) {
  Message why;
  outcome_of(run, arm, &why);
  return in(language, why);
}

}  // namespace greta::reports
