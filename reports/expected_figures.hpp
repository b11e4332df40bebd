// Expectations of figures and of controls, held against what came.
#pragma once

#include <string>
#include <string_view>

#include "reports/run_result.hpp"

namespace greta::reports {

// The first expectation of a figure that did not come, as one sentence; empty: all came.
Message unmet_figures(const RunResult&, const ArmResult&);

// The controls that refuse the arm, each once: "route", "route, factor"; empty: none does.
std::string refusing_controls(const RunResult&, std::string_view arm);

}  // namespace greta::reports
