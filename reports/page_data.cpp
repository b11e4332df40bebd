#include "reports/page_data.hpp"

#include "datasets/stage.hpp"

namespace greta::reports {

using nlohmann::json;

json page_data(const RunResult& run) {
  PageNumbering numbers;
  json data = {{"schema", "greta/page"}, {"schema_version", 1}};
  data["run"] = page_run(run, numbers);
  data["findings"] = page_findings(run, numbers);
  data["details"] = page_details(run, numbers);
  data["heads"] = page_heads(run);
  data["histograms"] = page_histograms(run, numbers);
  data["drift"] = page_drift(run);
  data["bias"] = page_bias(run);
  data["figures"] = page_figures(run, numbers);
  data["explanations"] = page_explanations(run, numbers);
  json order = json::array();
  for (const auto& stage : stages()) order.push_back(stage.name);
  data["names"] = {{"probes", numbers.probes.json()},
                   {"prompts", numbers.prompts.json()},
                   {"arms", numbers.arms.json()},
                   {"phases", numbers.phases.json()},
                   {"stages", numbers.stages.json()},
                   {"kernels", numbers.kernels.json()},
                   {"contracts", numbers.contracts.json()},
                   {"reasons", numbers.reasons.json()},
                   {"stage_order", order}};
  data["texts"] = numbers.texts.json();
  return data;
}

}  // namespace greta::reports
