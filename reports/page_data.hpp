// The data of report.html: what its views need of a run, compact. An object: `run` (identity, verdict, arms,
// controls), `names` (what the numbers of the columns mean), `texts` (sentences in both languages),
// `findings` (a column each, in pipeline order), `details`, `heads`, `histograms`, `drift`, `bias`,
// `figures`, `explanations`. reports/page/data.js reads it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "reports/page_text.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

struct PageNumbering {
  PageNames probes, prompts, arms, phases, stages, kernels, contracts, reasons;
  PageTexts texts;
};

nlohmann::json page_data(const RunResult& run);

// Its parts.
nlohmann::json page_findings(const RunResult& run, PageNumbering& numbers);
nlohmann::json page_details(const RunResult& run, PageNumbering& numbers);
nlohmann::json page_heads(const RunResult& run);
nlohmann::json page_histograms(const RunResult& run, PageNumbering& numbers);
nlohmann::json page_drift(const RunResult& run);
nlohmann::json page_bias(const RunResult& run);
nlohmann::json page_figures(const RunResult& run, PageNumbering& numbers);
nlohmann::json page_run(const RunResult& run, PageNumbering& numbers);
nlohmann::json page_explanations(const RunResult& run, PageNumbering& numbers);

}  // namespace greta::reports
