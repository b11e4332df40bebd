// Where in a suite's file its arms stand, for messages that point at them.
#pragma once

#include <map>
#include <string>

namespace greta::suites {

// Line of each [[arm]], by the arm's name. Empty when the file is no longer there, or no longer a suite: the
// verdict is of what was run, and a place that cannot be shown is no reason to lose it.
std::map<std::string, int> arm_lines(const std::string& suite_path);

}  // namespace greta::suites
