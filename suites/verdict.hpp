// From findings to a run's verdict: pipeline order, the first failing stage of each arm, and what was
// compared of what was planned.
#pragma once

#include "reports/run_result.hpp"
#include "suites/plan.hpp"

namespace greta::suites {

// By arm, prompt, call, layer, stage, probe; stable.
void sort_in_pipeline_order(std::vector<probes::Finding>& findings, const Plan& plan);
// Sorts the findings and fills in arms, status and compared.
void conclude_run(reports::RunResult& result, const Plan& plan);

}  // namespace greta::suites
