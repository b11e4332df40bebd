// verdicts.json: a RunResult as JSON, for CI and for making every other report again.
//
// One object: schema "greta/verdicts", schema_version, the fields of RunResult under their own names,
// `models` where arms have models of their own, `explanations` where a stage fails, and `findings`, one a
// line; a finding has `row_ratio` and `first_position` where it has rows, `head_ratio`, `by_expected` and
// `by_certain` (RatioHistogram) and `figures` where its probe fills them in. JSON has no NaN and no infinity:
// such a metric is the string "NaN", "Infinity" or "-Infinity". `exit_code` is there for readers and is
// recomputed when read. Sentences are there in English and, beside it, as what they were made of
// (message_json.hpp).
#pragma once

#include <string>
#include <string_view>

#include "reports/run_result.hpp"

namespace greta::reports {

inline constexpr int kVerdictsSchema = 1;

std::string to_verdicts_json(const RunResult&);
// `name` is for messages. Error (bad_input): not JSON, not a greta/verdicts document, a newer schema, a field
// that is missing or of another type.
RunResult from_verdicts_json(std::string_view json, const std::string& name);

// Atomic: readers see the old file or the new one, never half. Error (invalid) when the disk refuses.
void write_verdicts_json(const RunResult&, const std::string& path);
RunResult read_verdicts_json(const std::string& path);  // Error (bad_input)

}  // namespace greta::reports
