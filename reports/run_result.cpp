#include "reports/run_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "datasets/message.hpp"
#include "reports/expected_figures.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Status;

// Of each arm, the worst of what it has of these. In one walk: there may be many arms, and of each many.
template <typename Judged, typename StatusOf>
std::map<std::string_view, Status> worst_by_arm(const std::vector<Judged>& all, StatusOf&& status) {
  std::map<std::string_view, Status> worst;
  for (const auto& one : all) {
    auto& of_arm = worst.try_emplace(one.arm, Status::pass).first->second;
    of_arm = probes::worse(of_arm, status(one));
  }
  return worst;
}

// Of one arm.
Status worst_of(const RunResult& run, std::string_view arm) {
  Status worst = Status::pass;
  bool any = false;
  for (const auto& finding : run.findings) {
    if (finding.arm != arm) continue;
    any = true;
    worst = probes::worse(worst, status_of(finding));
  }
  for (const auto& control : run.controls)
    if (control.arm == arm) worst = probes::worse(worst, control.status);
  return any ? worst : Status::invalid;
}

// The stage where an arm first fails, "" where it does not.
std::string first_stage(const RunResult& run, const ArmResult& arm) {
  for (const auto& finding : run.findings)
    if (finding.arm == arm.name && status_of(finding) == Status::fail) return finding.stage;
  return {};
}

// What every verdict rests on, beside the findings themselves.
std::vector<Message> missing_evidence(const RunResult& run) {
  std::vector<Message> reasons;
  if (!run.interrupted.empty()) reasons.push_back(say("the run ended early: {}", run.interrupted));
  if (run.findings.empty()) reasons.push_back(say("no probe found anything to say"));
  if (run.compared <= 0) reasons.push_back(say("nothing was compared"));
  if (run.compared < run.planned)
    reasons.push_back(say("{} of {} planned tensors were not compared", grouped(run.planned - run.compared),
                          grouped(run.planned)));
  return reasons;
}

// What the arm's first failing stage was explained as: a cause, "indistinguishable: a, b" or "unexplained".
std::string cause_of(const RunResult& run, const ArmResult& arm) {
  const std::string stage = first_stage(run, arm);
  for (const auto& explanation : run.explanations) {
    if (explanation.arm != arm.name || explanation.stage != stage) continue;
    if (explanation.answer == probes::Answer::unexplained) return "unexplained";
    std::string out;
    for (const auto& trial : explanation.fitting) out += (out.empty() ? "" : ", ") + trial.text();
    return explanation.answer == probes::Answer::explained ? out : "indistinguishable: " + out;
  }
  return {};
}

// What `actual` is against what was expected of the arm.
Status outcome_from(const RunResult& run, const ArmResult& arm, Status actual, Message* why) {
  if (!arm.expect.any()) return actual;
  Expectation came{.verdict = std::string(probes::name_of(actual))};
  if (!arm.expect.first.empty()) came.first = first_stage(run, arm);
  if (!arm.expect.cause.empty()) came.cause = cause_of(run, arm);
  if (!arm.expect.causes.empty()) came.causes = causes_of(run, arm.name);
  if (!arm.expect.control.empty()) came.control = refusing_controls(run, arm.name);
  const Message figures = unmet_figures(run, arm);
  if (figures.empty()) came.figures = arm.expect.figures;
  const bool met = came == arm.expect;
  if (met) return Status::pass;
  if (why) {
    came.figures.clear();
    *why = say("expected {}; came {}", arm.expect.text(), came.text());
    if (!figures.empty()) *why = joined({*why, figures}, "; ");
  }
  return actual == Status::invalid ? Status::invalid : Status::fail;
}

}  // namespace

std::vector<std::string> causes_of(const RunResult& run, std::string_view arm) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& cause) {
    if (std::find(out.begin(), out.end(), cause) == out.end()) out.push_back(cause);
  };
  for (const auto& explanation : run.explanations) {
    if (explanation.arm != arm) continue;
    if (explanation.answer == probes::Answer::explained)
      for (const auto& trial : explanation.fitting)
        std::for_each(trial.causes.begin(), trial.causes.end(), add);
    else
      add(explanation.stage + " " + std::string(probes::name_of(explanation.answer)));
  }
  return out;
}

std::vector<ModelFile> model_files(const RunResult& run) {
  if (run.models.empty()) return {{run.identity.model_path, run.identity.model_digest, {}}};
  std::vector<ModelFile> out;
  for (const auto& model : run.models) {
    const auto same =
        std::find_if(out.begin(), out.end(), [&](const auto& file) { return file.path == model.path; });
    if (same == out.end())
      out.push_back({model.path, model.digest, {model.arm}});
    else
      same->arms.push_back(model.arm);
  }
  return out;
}

Status status_of(const probes::Finding& finding) {
  const double ratio = finding.metrics.bound_ratio;
  const bool contradicts = std::isnan(ratio) || (finding.metrics.count > 0 && !(ratio <= 1));
  return finding.status == Status::pass && contradicts ? Status::invalid : finding.status;
}

Status conclude(const RunResult& run) {
  auto findings = worst_by_arm(run.findings, status_of);
  const auto controls = worst_by_arm(run.controls, [](const auto& control) { return control.status; });
  Status found = run.arms.empty() && findings.empty() ? Status::invalid : Status::pass;
  for (const auto& arm : run.arms) {
    const auto own = findings.find(arm.name);
    Status actual = own == findings.end() ? Status::invalid : own->second;
    if (const auto control = controls.find(arm.name); control != controls.end())
      actual = probes::worse(actual, control->second);
    found = probes::worse(found, outcome_from(run, arm, actual, nullptr));
    if (own != findings.end()) own->second = Status::pass;  // counted
  }
  for (const auto& [arm, status] : findings) found = probes::worse(found, status);
  if (run.arms.empty())
    for (const auto& [arm, status] : controls) found = probes::worse(found, status);
  return missing_evidence(run).empty() ? found : probes::worse(found, Status::invalid);
}

Message Expectation::text() const {
  std::vector<Message> parts = {verbatim(verdict)};
  if (!first.empty()) parts.push_back(say("first at {}", first));
  if (cause == "unexplained")
    parts.push_back(say("unexplained"));
  else if (!cause.empty())
    parts.push_back(say("explained as {}", cause));
  if (!causes.empty()) parts.push_back(say("all causes: {}", fmt::format("{}", fmt::join(causes, ", "))));
  if (!control.empty()) parts.push_back(say("refused by control {}", control));
  for (const auto& figure : figures) parts.push_back(figure.text());
  return joined(parts, ", ");
}

Status outcome_of(const RunResult& run, const ArmResult& arm, Message* why) {
  return outcome_from(run, arm, conclude_arm(run, arm.name), why);
}

Status conclude_arm(const RunResult& run, std::string_view arm) { return worst_of(run, arm); }

std::vector<Message> invalid_reasons(const RunResult& run) {
  std::vector<Message> reasons = missing_evidence(run);
  for (const auto& arm : run.arms)
    if (std::none_of(run.findings.begin(), run.findings.end(),
                     [&](const auto& f) { return f.arm == arm.name; }))
      reasons.push_back(say("arm '{}' has no finding", arm.name));
  const auto excused = [&](const std::string& name) {  // a suite may expect an arm to be INVALID
    return std::any_of(run.arms.begin(), run.arms.end(), [&](const auto& arm) {
      return arm.name == name && arm.expect.any() && outcome_of(run, arm) == Status::pass;
    });
  };
  for (const auto& control : run.controls)
    if (control.status == Status::invalid && !excused(control.arm))
      reasons.push_back(say("control {} of arm '{}': {}", control.name, control.arm, control.line));
  for (const auto& finding : run.findings) {
    if (status_of(finding) != Status::invalid || excused(finding.arm)) continue;
    const bool contradicts = finding.status != Status::invalid;
    reasons.push_back(say("{}: {}", finding.key(),
                          contradicts
                              ? say("recorded as pass with a bound ratio of {}", finding.metrics.bound_ratio)
                              : finding.message));
  }
  if (reasons.empty() && run.status == Status::invalid)
    reasons.push_back(say("the runner reached no verdict"));
  return reasons;
}

ExitCode RunResult::exit_code() const {
  switch (probes::worse(status, conclude(*this))) {
    case Status::pass:
      return ExitCode::pass;
    case Status::fail:
      return ExitCode::fail;
    case Status::invalid:
      break;
  }
  return ExitCode::invalid;
}

}  // namespace greta::reports
