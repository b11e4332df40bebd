// --format github, of every command that ends with a verdict.
#pragma once

#include "cli/command.hpp"
#include "cli/options.hpp"
#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::cli {

void add_format_flag(Options& options);
// After the reports: with --format github, annotations on stdout and the summary appended to
// $GITHUB_STEP_SUMMARY where that is set. Error (invalid) when it cannot be written.
void print_format(const Given& given, const reports::RunResult& run, reports::Language language,
                  Streams& streams);
// Error (usage) on a format that is none: before anything runs.
void check_format(const Given& given);

}  // namespace greta::cli
