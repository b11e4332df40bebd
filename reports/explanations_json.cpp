#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reports/explanations.hpp"
#include "reports/message_json.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;
using probes::Answer;
using probes::Explanation;
using probes::Trial;

// JSON has no infinity; verdicts.json writes it as a string, too.
Json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

double number_of(const Json& json) {
  if (!json.is_string()) return json.get<double>();
  const auto text = json.get<std::string>();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  throw std::runtime_error(fmt::format("'{}' is no ratio", text));
}

Answer answer_of(const Json& json) {
  const auto text = json.get<std::string>();
  for (const Answer answer : {Answer::explained, Answer::indistinguishable, Answer::unexplained})
    if (text == name_of(answer)) return answer;
  throw std::runtime_error(
      fmt::format("answer '{}' is none of explained, indistinguishable, unexplained", text));
}

// In English, and as what it was made of.
void put(Json& object, const char* field, const Message& message) {
  object[field] = message.text();
  if (!is_verbatim(message)) object[says_key(field)] = message_to_json(message);
}

Message message_at(const Json& object, const char* field) {
  const auto text = object.at(field).get<std::string>();
  const auto says = object.find(says_key(field));
  if (says != object.end()) return message_from_json(*says, text);
  return text.empty() ? Message{} : verbatim(text);
}

Json trials_json(const std::vector<Trial>& trials) {
  Json out = Json::array();
  for (const auto& trial : trials) {
    Json& json = out.emplace_back(Json{{"causes", trial.causes},
                                       {"ratio", number(trial.ratio)},
                                       {"place", trial.place},
                                       {"applies", trial.applies}});
    put(json, "note", trial.note);
  }
  return out;
}

std::vector<Trial> trials_of(const Json& json) {
  std::vector<Trial> out;
  for (const auto& trial : json)
    out.push_back({.causes = trial.at("causes").get<std::vector<std::string>>(),
                   .ratio = number_of(trial.at("ratio")),
                   .place = trial.at("place").get<std::string>(),
                   .applies = trial.at("applies").get<bool>(),
                   .note = message_at(trial, "note")});
  return out;
}

}  // namespace

Json explanations_to_json(const std::vector<Explanation>& explanations) {
  Json out = Json::array();
  for (const auto& e : explanations) {
    Json& json = out.emplace_back(Json{{"arm", e.arm}, {"stage", e.stage}, {"answer", name_of(e.answer)}});
    put(json, "conclusion", e.conclusion());
    put(json, "scope", e.scope);
    put(json, "observed", e.observed);
    put(json, "note", e.note);
    put(json, "tells", e.tells);
    json["tensors"] = e.tensors;
    json["tried"] = e.tried;
    json["pairs"] = e.pairs;
    json["fitting"] = trials_json(e.fitting);
    json["excluded"] = trials_json(e.excluded);
    json["not_applicable"] = trials_json(e.not_applicable);
    json["places"] = e.places;
    json["consequences"] = e.consequences;
  }
  return out;
}

std::vector<Explanation> explanations_from_json(const Json& json) {
  std::vector<Explanation> out;
  for (const auto& e : json)
    out.push_back({.arm = e.at("arm").get<std::string>(),
                   .stage = e.at("stage").get<std::string>(),
                   .places = e.at("places").get<std::vector<std::string>>(),
                   .consequences = e.at("consequences").get<std::vector<std::string>>(),
                   .scope = message_at(e, "scope"),
                   .observed = message_at(e, "observed"),
                   .note = message_at(e, "note"),
                   .tensors = e.at("tensors").get<int64_t>(),
                   .tried = e.at("tried").get<int64_t>(),
                   .pairs = e.at("pairs").get<int64_t>(),
                   .answer = answer_of(e.at("answer")),
                   .fitting = trials_of(e.at("fitting")),
                   .excluded = trials_of(e.at("excluded")),
                   .not_applicable = trials_of(e.at("not_applicable")),
                   .tells = message_at(e, "tells")});
  return out;
}

std::string to_explanations_json(const RunResult& run) {
  const Json json = {{"schema", "greta/explanations"},
                     {"schema_version", 1},
                     {"title", run.title},
                     {"model_digest", run.identity.model_digest},
                     {"exit_code", static_cast<int>(run.exit_code())},
                     {"explanations", explanations_to_json(run.explanations)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace greta::reports
