// The head of report.html: identity, verdict, arms, controls; and the explanations.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "datasets/cause.hpp"
#include "reports/page_data.hpp"
#include "reports/page_number.hpp"
#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using nlohmann::json;
using probes::Explanation;
using probes::Trial;

json identity_json(const RunResult& run) {
  const auto& id = run.identity;
  json tokens = json::array();
  std::vector<std::string> models, digests;
  for (const auto& file : model_files(run)) {
    models.push_back(file.path);
    digests.push_back(file.digest);
  }
  for (const auto& [prompt, ids] : id.prompt_tokens) tokens.push_back({prompt, ids.size()});
  return {{"suite", run.suite_path},
          {"model", fmt::format("{}", fmt::join(models, ", "))},
          {"digest", fmt::format("{}", fmt::join(digests, ", "))},
          {"device", id.device},
          {"backend", id.backend},
          {"reference", run.reference},
          {"greta", id.greta_version},
          {"build", id.build},
          {"created", id.created},
          {"command", id.command_line},
          {"prompt_tokens", std::move(tokens)}};
}

// `explanation`: the one whose places hold the arm's first failing finding; -1: none does.
json arm_json(const RunResult& run, const ArmResult& arm, PageNumbering& numbers) {
  Message why;
  const bool met = outcome_of(run, arm, &why) == probes::Status::pass;
  const auto* first = first_failing(run, arm);
  json out = {{"name", arm.name},
              {"settings", arm.settings},
              {"status", static_cast<int>(probes::worse(arm.status, conclude_arm(run, arm.name)))},
              {"met", met},
              {"expected", arm.expect.any() ? numbers.texts.add(arm.expect.text()) : -1},
              {"why", numbers.texts.add(why)},
              {"first", first ? first - run.findings.data() : -1},
              {"causes", causes_of(run, arm.name)},
              {"explanation", -1}};
  if (!first) return out;
  const std::string key = first->key();
  for (size_t i = 0; i < run.explanations.size(); ++i) {
    const auto& places = run.explanations[i].places;
    if (run.explanations[i].arm != arm.name || std::find(places.begin(), places.end(), key) == places.end())
      continue;
    out["explanation"] = i;
    break;
  }
  return out;
}

Message seen_of(const std::string& text) {
  for (const Cause& cause : causes())
    if (cause.text() == text) return phrase(cause.seen);
  return {};
}

json trials_json(const std::vector<Trial>& trials, PageNumbering& numbers) {
  json out = json::array();
  for (const Trial& trial : trials) {
    json seen = json::array();
    for (const auto& cause : trial.causes) seen.push_back(numbers.texts.add(seen_of(cause)));
    out.push_back({{"causes", trial.causes},
                   {"ratio", page_number(trial.ratio)},
                   {"place", trial.place},
                   {"note", numbers.texts.add(trial.note)},
                   {"seen", std::move(seen)}});
  }
  return out;
}

// Keys as the numbers of their findings.
json places_json(const std::vector<std::string>& keys, const std::map<std::string, size_t>& at) {
  json out = json::array();
  for (const auto& key : keys)
    if (const auto found = at.find(key); found != at.end()) out.push_back(found->second);
  return out;
}

}  // namespace

json page_run(const RunResult& run, PageNumbering& numbers) {
  json arms = json::array(), controls = json::array(), reasons = json::array();
  for (const auto& arm : run.arms) arms.push_back(arm_json(run, arm, numbers));
  for (const auto& control : run.controls)
    controls.push_back({{"name", control.name},
                        {"arm", control.arm},
                        {"status", static_cast<int>(control.status)},
                        {"line", numbers.texts.add(control.line)}});
  for (const auto& reason : invalid_reasons(run)) reasons.push_back(numbers.texts.add(reason));
  return {{"title", run.title},
          {"status", static_cast<int>(verdict_of(run))},
          {"exit_code", static_cast<int>(run.exit_code())},
          {"planned", run.planned},
          {"compared", run.compared},
          {"reasons", std::move(reasons)},
          {"layers", run.layers},
          {"seconds", {run.wall_seconds, run.engine_seconds, run.reference_seconds}},
          {"rerun", run.rerun},
          {"identity", identity_json(run)},
          {"arms", std::move(arms)},
          {"controls", std::move(controls)}};
}

json page_explanations(const RunResult& run, PageNumbering& numbers) {
  json out = json::array();
  if (run.explanations.empty()) return out;
  std::map<std::string, size_t> at;
  for (size_t i = 0; i < run.findings.size(); ++i) at.emplace(run.findings[i].key(), i);
  for (const Explanation& e : run.explanations)
    out.push_back({{"arm", e.arm},
                   {"stage", e.stage},
                   {"answer", probes::name_of(e.answer)},
                   {"proved", e.answer == probes::Answer::explained && e.observed.empty()},
                   {"conclusion", numbers.texts.add(e.conclusion())},
                   {"scope", numbers.texts.add(e.scope)},
                   {"note", numbers.texts.add(e.note)},
                   {"fitting", trials_json(e.fitting, numbers)},
                   {"excluded", trials_json(e.excluded, numbers)},
                   {"not_applicable", trials_json(e.not_applicable, numbers)},
                   {"places", places_json(e.places, at)},
                   {"consequences", places_json(e.consequences, at)}});
  return out;
}

}  // namespace greta::reports
