// What the tables of every report are made of: findings folded to the worst of each cell.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

using FindingRefs = std::vector<const probes::Finding*>;

// The worst finding that fell into a cell: by status, then by ratio (NaN above infinity above all numbers).
struct Cell {
  probes::Status status = probes::Status::pass;
  double ratio = 0;
  int64_t findings = 0;  // 0: the plan has nothing here
  void add(const probes::Finding& finding);
};

// "0.03", "<.001", "✗12.4", "✗inf", "✗nan", "?" (no verdict), "·" (nothing planned here).
std::string to_string(const Cell& cell);
std::string ratio_text(double ratio);

// Rows × columns of cells; rows and columns in the order given.
struct Grid {
  std::vector<std::string> rows, columns;
  std::vector<std::vector<Cell>> cells;  // [row][column]
};

// Layers along the columns, in ranges ("0-2") when there are more than `max_columns`; stages along the rows
// in the order of the forward pass; a first column "model" for stages that belong to no layer. Findings
// without a stage, and weights, are left out.
Grid stage_by_layer(const FindingRefs& findings, int max_columns, Language language = Language::english);

// One row per name that `row_of` gives, one column per arm, in order of appearance.
Grid by_arm(const RunResult& run, const std::function<std::string(const probes::Finding&)>& row_of);

Grid by_probe(const RunResult& run);
Grid by_case(const RunResult& run, Language language);
// One row per arm, one column per prompt (and one for the weights): the matrix of a run of several models. A
// cell that the run did not come to has no findings.
Grid by_prompt(const RunResult& run, Language language);

std::string probe_name(const probes::Finding& finding);  // "stage_parity (local)"
std::string case_name(const probes::Finding& finding);   // "p0_short prefill"; "weights" for weights
bool is_weight(const probes::Finding& finding);

// Findings that agree on `name_of`, in order of first appearance.
struct Group {
  std::string name;
  FindingRefs findings;
};
std::vector<Group> group_by(const FindingRefs& findings,
                            const std::function<std::string(const probes::Finding&)>& name_of);

FindingRefs all_findings(const RunResult& run);
FindingRefs select(const FindingRefs& findings, const std::function<bool(const probes::Finding&)>& wanted);
probes::Status worst_status(const FindingRefs& findings);
const probes::Finding* worst_finding(const FindingRefs& findings);  // null when there are none
bool has_stages(const FindingRefs& findings);                       // two stages or more: worth a table

// Everything passes with a ratio of 0 (bitwise comparisons do): one sentence says as much as a table.
bool all_zero(const FindingRefs& findings);

// The arm's first finding that failed, in pipeline order; null: none did.
const probes::Finding* first_failing(const RunResult& run, const ArmResult& arm);

// "PASS", "FAIL", "INVALID"
std::string upper_name(probes::Status status, Language language = Language::english);
// The run's verdict: the worse of what the runner says and what the evidence supports.
probes::Status verdict_of(const RunResult& run);
// "184 of 184 planned tensors compared, 2 findings of 1,024 fail"
std::string counts_text(const RunResult& run, Language language = Language::english);
// The command that runs just this finding's comparison again.
std::string rerun_command(const RunResult& run, const probes::Finding& finding);
// "[12, 3, 7] of [205, 8, 32]: engine 1.5, reference 0.98, error 0.52, bound 1.2e-06, ratio 4.3e+05 (certain
// bound: 2.1e+04)"
std::string worst_element(const probes::Finding& finding, Language language = Language::english);

}  // namespace greta::reports
