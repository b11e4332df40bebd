// Explanations in words, for the terminal and for `greta explain`, and as JSON, for verdicts.json and
// explanations.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

// One explanation: answer, scope, cause, margin, what is excluded; a few lines, indented by two.
std::string explanation_text(const probes::Explanation& explanation, bool colours,
                             Language language = Language::english);
// All of them under a heading; empty when there are none.
std::string explanations_section(const RunResult& run, bool colours, Language language = Language::english);
Message answer_word(probes::Answer answer);  // "explained"

nlohmann::ordered_json explanations_to_json(const std::vector<probes::Explanation>& explanations);
// Throws std::runtime_error or a JSON exception: something is missing or of another type.
std::vector<probes::Explanation> explanations_from_json(const nlohmann::ordered_json& json);

// explanations.json: schema "greta/explanations", the model's digest, and the explanations as in
// verdicts.json.
std::string to_explanations_json(const RunResult& run);

}  // namespace greta::reports
