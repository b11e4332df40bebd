// report.md: the run for a person who was not there. Executive summary, method, results, conclusion, next
// step, written from the findings only; every table that the terminal folds is here in full.
#pragma once

#include <string>

#include "reports/run_result.hpp"

namespace greta::reports {

std::string markdown_report(const RunResult& run);
void write_markdown(const RunResult& run,
                    const std::string& path);  // atomic; Error (invalid) when the disk refuses

}  // namespace greta::reports
