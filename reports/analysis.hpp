// analysis.txt: the run as an engineer would paste it into a ticket. Identity, verdict, for each arm and
// prompt the first divergence and the wrong side, MAE per stage, proved causes, rerun commands; at most 150
// lines, what is cut is said.
#pragma once

#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

inline constexpr size_t kAnalysisLines = 150;

std::string analysis_report(const RunResult& run, Language language = Language::english);
void write_analysis(const RunResult& run, const std::string& path, Language language = Language::english);

}  // namespace greta::reports
