// acceptance.json: the acceptance for programs, complete.
#include <cmath>
#include <nlohmann/json.hpp>

#include "reports/acceptance_words.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

Json json_of(const Judged& judged) {
  return {{"status", probes::name_of(judged.status)},
          {"bound_ratio", number(judged.ratio)},
          {"mae", number(judged.mae)},
          {"failing", judged.failing}};
}

Json json_of(const AcceptanceSide& side) {
  const auto& id = side.run.identity;
  Json tokens = Json::object();
  for (const auto& [prompt, ids] : id.prompt_tokens) tokens[prompt] = ids;
  return {{"given", side.given},
          {"arm", side.arm},
          {"title", side.run.title},
          {"suite_path", side.run.suite_path},
          {"greta_version", id.greta_version},
          {"build", id.build},
          {"command_line", id.command_line},
          {"rerun", side.run.rerun},
          {"model_path", id.model_path},
          {"model_digest", id.model_digest},
          {"device", id.device},
          {"backend", id.backend},
          {"reference", side.run.reference},
          {"created", id.created},
          {"prompt_tokens", std::move(tokens)}};
}

Json json_of(const std::optional<probes::Figure>& figure) {
  if (!figure) return nullptr;
  return figure->text.empty() ? number(figure->value) : Json(figure->text);
}

Json json_of(const FigurePairs& table) {
  Json rows = Json::array();
  for (const auto& row : table.rows) {
    Json before = Json::object(), after = Json::object();
    for (size_t i = 0; i < table.names.size(); ++i) {
      before[table.names[i]] = json_of(row.before[i]);
      after[table.names[i]] = json_of(row.after[i]);
    }
    rows.push_back({{"prompt", row.prompt},
                    {"phase", row.phase},
                    {"layer", row.layer},
                    {"stage", row.stage},
                    {"of", row.of},
                    {"before", std::move(before)},
                    {"after", std::move(after)}});
  }
  return {{"probe", table.probe}, {"names", table.names}, {"rows", std::move(rows)}};
}

Json json_of(const std::vector<ChangedPlace>& places) {
  Json out = Json::array();
  for (const auto& place : places)
    out.push_back({{"key", place.key}, {"before", json_of(place.before)}, {"after", json_of(place.after)}});
  return out;
}

Json json_of(const std::vector<Message>& sentences) {
  Json out = Json::array();
  for (const auto& sentence : sentences) out.push_back(sentence.text());
  return out;
}

const char* word(Decision decision) {
  return decision == Decision::accepted ? "accepted" : decision == Decision::refused ? "refused" : "invalid";
}

}  // namespace

std::string acceptance_json(const Acceptance& it) {
  Json bars = Json::array(), figures = Json::array();
  for (const auto& bar : it.bars)
    bars.push_back({{"probe", bar.probe},
                    {"stage", bar.stage},
                    {"places", bar.places},
                    {"before", json_of(bar.before)},
                    {"after", json_of(bar.after)},
                    {"change", name_of(bar.change()).text()}});
  for (const auto& table : it.figures) figures.push_back(json_of(table));
  const Json json = {{"schema", "greta/acceptance"},
                     {"schema_version", 1},
                     {"decision", word(it.decision)},
                     {"exit_code", static_cast<int>(it.exit_code())},
                     {"sentence", decision_sentence(it).text()},
                     {"invalid", json_of(it.invalid)},
                     {"controls", json_of(it.controls)},
                     {"before", json_of(it.before)},
                     {"after", json_of(it.after)},
                     {"places", it.places},
                     {"bars", std::move(bars)},
                     {"figures", std::move(figures)},
                     {"fixed", json_of(it.fixed)},
                     {"broken", json_of(it.broken)},
                     {"still_failing", json_of(it.still_failing)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace greta::reports
