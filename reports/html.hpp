// report.html: the run as one file that opens anywhere, without a network: verdict, heat maps, drift,
// histograms, figures, explanations and every finding, in English and Spanish. Its sources are in
// reports/page/; the build puts them, the plotting library and the words of both languages together
// (page/assemble.py), and this adds the data of a run.
#pragma once

#include <string>

#include "reports/run_result.hpp"

namespace greta::reports {

std::string html_report(const RunResult& run);
void write_html(const RunResult& run,
                const std::string& path);  // atomic; Error (invalid) when the disk refuses

}  // namespace greta::reports
