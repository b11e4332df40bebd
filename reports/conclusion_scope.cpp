#include "reports/conclusion_scope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "datasets/stage.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Answer;
using probes::Explanation;
using probes::Finding;
using probes::Status;

using Names = std::vector<std::string>;

void add_once(Names& names, const std::string& name) {
  if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

// "a, b, c"; of more than `most` the first, and how many the others are.
Message listed(const Names& names, size_t most) {
  if (names.size() <= most) return verbatim(fmt::format("{}", fmt::join(names, ", ")));
  return say("{} and {} more",
             fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<long>(most), ", ")),
             names.size() - most);
}

bool is_local(const Finding& f) { return f.probe == "stage_parity" && f.mode == "local"; }

// Stages against their own inputs: all of their findings pass, or not.
std::map<std::string, bool> local_stages(const RunResult& run) {
  std::map<std::string, bool> out;
  for (const auto& finding : run.findings) {
    if (!is_local(finding) || is_weight(finding)) continue;
    const auto [stage, is_new] = out.emplace(finding.stage, true);
    stage->second &= status_of(finding) == Status::pass;
  }
  return out;
}

// Of the forward pass, those that are wanted, in its order.
Names stages_where(const std::function<bool(const std::string&)>& wanted) {
  Names out;
  for (const auto& row : stages())
    if (const std::string name(row.name); wanted(name)) out.push_back(name);
  return out;
}

// "head 0", "dims 0-255": the parts of tensors that figures were taken from.
Names windows_of(const RunResult& run) {
  Names out;
  for (const auto& finding : run.findings)
    for (const auto& figure : finding.figures) {
      add_once(out, figure.of);
      if (figure.name.ends_with("window")) add_once(out, figure.text);
    }
  return out;
}

bool any_of(const RunResult& run, const std::function<bool(const Finding&)>& is) {
  return std::any_of(run.findings.begin(), run.findings.end(), is);
}

// What a control rules out where it holds in all its arms.
Message ruled_out(const std::string& control) {
  if (control == "model") return say("that engine and reference read different models");
  if (control == "planned")
    return say("that a planned tensor was missing, came twice, was short or was of other tokens");
  if (control == "route") return say("that an arm ran other kernels than those that it forces");
  if (control == "factor") return say("that the factor never reached the kernels");
  if (control == "repeat") return say("that the same call gave other bits the second time");
  return {};
}

constexpr size_t kCausesShown = 4;

Message tried_and_excluded(const Explanation& e) {
  std::vector<Message> names;
  for (size_t i = 0; i < std::min(kCausesShown, e.excluded.size()); ++i)
    names.push_back(say("{} (ratio {})", e.excluded[i].text(), ratio_text(e.excluded[i].ratio)));
  const Message shown = joined(names, ", ");
  return e.excluded.size() > kCausesShown
             ? say("as a cause of {} in arm {}: {}, and {} more with larger misfits", e.stage, e.arm, shown,
                   e.excluded.size() - kCausesShown)
             : say("as a cause of {} in arm {}: {}", e.stage, e.arm, shown);
}

Message untested(const Explanation& e) {
  Names names;
  for (const auto& trial : e.not_applicable) add_once(names, trial.text());
  return say("as a cause of {} in arm {}, because there is nothing here to tell them by: {}", e.stage, e.arm,
             listed(names, 2 * kCausesShown));
}

}  // namespace

std::vector<Message> measured_by(const RunResult& run) {
  std::vector<Message> out;
  Names probes;
  for (const auto& finding : run.findings) add_once(probes, probe_name(finding));
  out.push_back(say("{} of {} planned tensors, in {} findings of the probes {}", grouped(run.compared),
                    grouped(run.planned), grouped(static_cast<int64_t>(run.findings.size())),
                    listed(probes, probes.size())));
  constexpr size_t kNames = 12;
  out.push_back(say("prompts: {}", listed(run.prompts, kNames)));
  out.push_back(say("phases: {}", listed(run.phases, kNames)));
  const auto has = [&](const char* phase) {
    return std::find(run.phases.begin(), run.phases.end(), phase) != run.phases.end();
  };
  if (has("prefill_last") && !has("prefill"))
    out.push_back(say("of prefill its last row alone (prefill_last)"));
  out.push_back(say("layers of the model: {}", run.layers));
  std::set<std::string> seen;
  for (const auto& finding : run.findings) seen.insert(finding.stage);
  const Names judged = stages_where([&](const std::string& name) { return seen.contains(name); });
  if (judged.size() == static_cast<size_t>(kStageCount))
    out.push_back(say("stages: all {} of the forward pass", judged.size()));
  else if (!judged.empty())
    out.push_back(say("stages: {}", listed(judged, judged.size())));
  if (const Names windows = windows_of(run); !windows.empty())
    out.push_back(
        say("whole tensors, save for the figures that name a part, which hold for that part alone: {}",
            listed(windows, kNames)));
  else if (!run.findings.empty())
    out.push_back(say("whole tensors: every element of each"));
  return out;
}

std::vector<Message> excluded_by(const RunResult& run) {
  std::vector<Message> out;
  const auto local = local_stages(run);
  const Names right = stages_where([&](const std::string& name) {
    const auto found = local.find(name);
    return found != local.end() && found->second;
  });
  if (!right.empty())
    out.push_back(
        say("an error above its bound in any element that was compared of {}", listed(right, right.size())));
  Names controls;
  for (const auto& control : run.controls) add_once(controls, control.name);
  for (const auto& name : controls) {
    const bool holds = std::all_of(run.controls.begin(), run.controls.end(), [&](const Control& control) {
      return control.name != name || control.status == Status::pass;
    });
    const bool repeats = name != "repeat" || !any_of(run, [](const Finding& f) {
                           return f.probe == "determinism" && f.status != Status::pass;
                         });
    if (const Message what = ruled_out(name); holds && repeats && !what.empty()) out.push_back(what);
  }
  for (const auto& explanation : run.explanations)
    if (!explanation.excluded.empty()) out.push_back(tried_and_excluded(explanation));
  return out;
}

std::vector<Message> left_open_by(const RunResult& run) {
  std::vector<Message> out;
  out.push_back(say("errors that stay inside the bounds"));
  out.push_back(
      say("other models, prompts, positions and devices: this is one run on {}", run.identity.device));
  const auto local = local_stages(run);
  if (!local.empty()) {
    const Names missing = stages_where([&](const std::string& name) { return !local.contains(name); });
    if (!missing.empty())
      out.push_back(
          say("stages that were not judged against their own inputs: {}", listed(missing, missing.size())));
  }
  const auto no_phase = [&](std::string_view prefix) {
    return std::none_of(run.phases.begin(), run.phases.end(),
                        [&](const std::string& phase) { return phase.starts_with(prefix); });
  };
  if (!run.phases.empty() && no_phase("decode")) out.push_back(say("decode: the run has no decode step"));
  if (!run.phases.empty() && no_phase("prefill")) out.push_back(say("prefill: the run judges none"));
  if (!any_of(run, is_weight)) out.push_back(say("how the weights are unpacked: none was compared"));
  if (!any_of(run, [](const Finding& f) { return f.mode == "chained"; }))
    out.push_back(
        say("how errors add up from layer to layer: nothing was held against a reference that runs from "
            "the tokens on"));
  if (!any_of(run, [](const Finding& f) { return f.probe == "determinism"; }))
    out.push_back(say("races, and memory read before it is written: no call was repeated"));
  for (const auto& e : run.explanations) {
    if (e.answer == Answer::unexplained) out.push_back(say("the cause of {} in arm {}", e.stage, e.arm));
    if (e.answer == Answer::indistinguishable && !e.tells.empty())
      out.push_back(say("which of its causes broke {} in arm {}. {}", e.stage, e.arm, e.tells));
    if (e.answer == Answer::explained && !e.observed.empty())
      out.push_back(say("a proof of the cause of {} in arm {}: {}", e.stage, e.arm, e.tells));
    if (!e.not_applicable.empty()) out.push_back(untested(e));
    if (!e.note.empty()) out.push_back(say("{} in arm {}: {}", e.stage, e.arm, e.note));
  }
  return out;
}

}  // namespace greta::reports
