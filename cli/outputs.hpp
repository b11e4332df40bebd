// --jsonl, --pack and --format: what a run leaves for other programs, beside its reports.
#pragma once

#include <string>
#include <string_view>

#include "cli/command.hpp"
#include "cli/options.hpp"
#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::cli {

void add_output_flags(Options& options);  // --pack and --format; --jsonl is for those who make the trace
// Error (usage), before anything runs: a format that is none, a trace that is asked for as text and not kept,
// a pack of that directory that is there (without --force).
void check_output_flags(const Given& given);
void refuse_overwriting_pack(const Given& given, const std::string& directory);

// After the reports. Says on stdout what it wrote.
void write_jsonl(const Given& given, const std::string& directory);
void write_pack(const Given& given, const std::string& directory, Streams& streams);
// With --format github: annotations on stdout, and the summary appended to $GITHUB_STEP_SUMMARY where that is
// set. Error (invalid) when it cannot be written.
void print_format(const Given& given, const reports::RunResult& run, reports::Language language,
                  Streams& streams);

// How many words of the command line, from `word` on, only say where or how the results go (--pack: 1,
// --format github: 2); 0: it says something else. A command to be typed again leaves them out.
size_t output_words(std::string_view word);

}  // namespace greta::cli
