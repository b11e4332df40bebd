// Numbers of report.html: four significant digits are what a plot shows.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace greta::reports {

// NaN, Infinity and -Infinity become strings, as in verdicts.json. A number beside 1 keeps all its digits:
// the bound is there.
nlohmann::json page_number(double value);
nlohmann::json page_number_exact(double value);  // the shortest that reads back the same

}  // namespace greta::reports
