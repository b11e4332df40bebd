// report.md, report.es.md: the run for a person who was not there. Executive summary, method, results,
// conclusion, next step, written from the findings only. What passes is folded; every table of what does not
// pass is here in full, as far as a person reads: the rest is counted and is in verdicts.json.
#pragma once

#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

std::string markdown_report(const RunResult& run, Language language = Language::english);
// Atomic; Error (invalid) when the disk refuses.
void write_markdown(const RunResult& run, const std::string& path, Language language = Language::english);

}  // namespace greta::reports
