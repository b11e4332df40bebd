// The controls of an arm: what must hold before anything is concluded from it. Each is one line, and one that
// fails leaves no verdict.
//   model    the engine runs the file that the reference reads
//   planned  every planned tensor came, once, whole and of this prompt (the findings name those that did not)
//   route    the kernels that ran are those that the arm forces
//   factor   an arm that must differ from another ran other kernels than that one somewhere
//   window   an arm that looks through a window (keys_window) leaves nothing out that matters
//   repeat   the same calls gave the same bits, where the suite repeats them
#pragma once

#include <map>
#include <string>
#include <vector>

#include "reports/run_result.hpp"
#include "suites/suite.hpp"

namespace greta::suites {

// Of the arms that have findings, in the suite's order. `models`: what each arm's engine says it runs;
// `references`: what the reference reads beside it; both digests.
std::vector<reports::Control> controls_of(const Suite& suite, const std::vector<probes::Finding>& findings,
                                          const std::map<std::string, std::string>& references,
                                          const std::map<std::string, std::string>& models);

}  // namespace greta::suites
