// junit.xml: the verdict for CI, in the format of Ant's JUnit task as Jenkins, GitLab and GitHub's actions
// read it.
//
// A testsuite an arm, and one named "run". In an arm of which the suite expects nothing, a test case is one
// (prompt, phase, probe), whatever the number of its stages and layers, and one a control; its failure names
// the first comparison that fails, and lists them. An arm of which something is expected (a planted fault) is
// judged by that: its test cases are the parts of the expectation, and its findings that fail are only
// counted. FAIL is <failure>, INVALID is <error>, so that for CI there are errors exactly where the exit code
// is 4, and failures alone exactly where it is 1. Time is measured for the run as a whole and stands there.
#pragma once

#include <string>

#include "reports/run_result.hpp"

namespace greta::reports {

std::string junit_report(const RunResult& run);
void write_junit(const RunResult& run, const std::string& path);

}  // namespace greta::reports
