#include "reports/conclusion.hpp"

#include <algorithm>

#include "reports/conclusion_scope.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Answer;
using probes::Explanation;
using probes::Finding;
using probes::Status;

int64_t count_of(const RunResult& run, Status status) {
  return std::count_if(run.findings.begin(), run.findings.end(),
                       [&](const auto& f) { return status_of(f) == status; });
}

std::string total(const RunResult& run) { return grouped(static_cast<int64_t>(run.findings.size())); }

// "q: weight_layout=col"; a cause that was not proved is not called one.
Message cause_in(const Explanation& e) {
  std::vector<Message> names;
  for (const auto& trial : e.fitting) names.push_back(verbatim(trial.text()));
  switch (e.answer) {
    case Answer::explained:
      return e.observed.empty()
                 ? say("the cause of {} is {}", e.stage, joined(names, ", "))
                 : say("{} fits what was observed of {} and is not proved", joined(names, ", "), e.stage);
    case Answer::indistinguishable:
      return say("the cause of {} is one of {}", e.stage, joined(names, ", "));
    case Answer::unexplained:
      break;
  }
  return say("{} is unexplained", e.stage);
}

Message causes_in(const RunResult& run, const std::string& arm) {
  std::vector<Message> out;
  for (const auto& explanation : run.explanations)
    if (explanation.arm == arm) out.push_back(cause_in(explanation));
  return joined(out, "; ");
}

// Judged from the engine's own inputs: it is wrong on its own account.
bool blames_its_stage(const Finding& finding) {
  return finding.probe == "stage_parity" && finding.mode == "local";
}

Message failing_arm(const RunResult& run, const ArmResult& arm) {
  const Finding* first = first_failing(run, arm);
  if (!first) return say("arm {} fails", arm.name);
  const Message where = blames_its_stage(*first) ? say("arm {}: the first broken stage is {}, at {}",
                                                       arm.name, first->stage, first->key())
                                                 : say("arm {} first fails at {}", arm.name, first->key());
  const Message said = first->message.empty() ? where : say("{} ({})", where, first->message);
  const Message causes = causes_in(run, arm.name);
  return causes.empty() ? say("{}.", said) : say("{}; {}.", said, causes);
}

Message why_invalid(const RunResult& run, const ArmResult& arm) {
  for (const auto& control : run.controls)
    if (control.arm == arm.name && control.status == Status::invalid)
      return say("control {}: {}", control.name, control.line);
  for (const auto& finding : run.findings)
    if (finding.arm == arm.name && status_of(finding) == Status::invalid)
      return finding.message.empty() ? verbatim(finding.key())
                                     : say("{}: {}", finding.key(), finding.message);
  return say("it has no finding");
}

// The run passes although arms do not: the suite expects it.
Message as_expected(const RunResult& run) {
  int64_t pass = 0, fail = 0, invalid = 0;
  for (const auto& arm : run.arms) {
    const Status status = conclude_arm(run, arm.name);
    ++(status == Status::pass ? pass : status == Status::fail ? fail : invalid);
  }
  return say("Every arm came out as the suite expects: {} pass, {} fail, {} have no verdict.", pass, fail,
             invalid);
}

Message failed(const RunResult& run) {
  std::vector<Message> sentences;
  int64_t unexpected = 0;
  bool engine = false;
  for (const auto& arm : run.arms) {
    if (outcome_of(run, arm) == Status::pass) continue;
    unexpected += arm.expect.any();
    engine |= !arm.expect.any();
  }
  if (engine || run.arms.empty())
    sentences.push_back(say("The engine does not compute what its kernels declare: {} of {} findings fail.",
                            grouped(count_of(run, Status::fail)), total(run)));
  if (unexpected > 0)
    sentences.push_back(say("Arms that did not come out as the suite expects: {}.", unexpected));
  if (std::any_of(run.findings.begin(), run.findings.end(),
                  [](const Finding& f) { return blames_its_stage(f) && status_of(f) == Status::fail; }))
    sentences.push_back(say(
        "A stage that fails in local mode was judged from the engine's own inputs to it, so the first of an "
        "arm is where it goes wrong."));
  return joined(sentences, " ");
}

Message verdict_sentence(const RunResult& run) {
  switch (verdict_of(run)) {
    case Status::pass:
      if (std::any_of(run.arms.begin(), run.arms.end(),
                      [&](const auto& arm) { return conclude_arm(run, arm.name) != Status::pass; }))
        return as_expected(run);
      return say(
          "All {} findings over all {} planned tensors are within their bounds: on this model, these "
          "prompts and this device, the engine computes what its kernels declare.",
          total(run), grouped(run.planned));
    case Status::fail:
      return failed(run);
    case Status::invalid:
      break;
  }
  return say(
      "There is no verdict: a control failed or evidence is missing. Nothing follows for the engine from "
      "the {} findings that fail or from those that pass.",
      grouped(count_of(run, Status::fail)));
}

}  // namespace

Message arm_conclusion(const RunResult& run, const ArmResult& arm) {
  switch (conclude_arm(run, arm.name)) {
    case Status::pass: {
      const auto own = std::count_if(run.findings.begin(), run.findings.end(),
                                     [&](const auto& f) { return f.arm == arm.name; });
      return say("arm {}: all {} findings pass.", arm.name, grouped(own));
    }
    case Status::fail:
      return failing_arm(run, arm);
    case Status::invalid:
      break;
  }
  return say("arm {} has no verdict: {}.", arm.name, why_invalid(run, arm));
}

Conclusion conclusion_of(const RunResult& run) {
  Conclusion out{.verdict = verdict_sentence(run)};
  for (const auto& arm : run.arms) out.arms.push_back(arm_conclusion(run, arm));
  out.measured = measured_by(run);
  if (verdict_of(run) == Status::invalid) return out;
  out.excluded = excluded_by(run);
  out.open = left_open_by(run);
  return out;
}

}  // namespace greta::reports
