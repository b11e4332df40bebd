// The verdict as GitHub Actions shows it: workflow commands that annotate the suite's file, and a short
// Markdown summary for the job's page ($GITHUB_STEP_SUMMARY).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

// Where the annotations point to: the suite's file, from the root of the repository, and the line of each
// arm.
struct SuitePlace {
  std::string file;
  std::map<std::string, int> arm_lines;
};

// GitHub shows at most this many errors a step; what is left out is counted in the notice.
inline constexpr size_t kGithubErrors = 10;

// One "::error …" line for each reason why there is no verdict, each expectation that did not come, and the
// first failing comparison of each arm and case (of each arm first); then "::notice …" with the verdict.
std::string github_annotations(const RunResult& run, const SuitePlace& place, Language language);
std::string github_summary(const RunResult& run, Language language);

// What GitHub's runner decodes: %25 %0D %0A, in properties %3A %2C, too.
std::string github_data(std::string_view text);
std::string github_property(std::string_view text);

}  // namespace greta::reports
