#include "reports/markdown.hpp"

#include <algorithm>

#include "reports/atomic_file.hpp"
#include "reports/conclusion.hpp"
#include "reports/markdown_text.hpp"

namespace greta::reports {
namespace {

using namespace markdown;
using probes::Answer;
using probes::Finding;
using probes::Status;

constexpr size_t kReasonsShown = 20;

std::string summary_text(const RunResult& run, const Conclusion& conclusion, Language language) {
  std::string out = heading(2, tr(language, "Executive summary"));
  out += "**" + upper_name(verdict_of(run), language) + ".** " + counts_text(run, language) + ".\n\n";
  std::vector<Message> lines;
  const auto reasons = invalid_reasons(run);
  for (size_t i = 0; i < std::min(reasons.size(), kReasonsShown); ++i)
    lines.push_back(say("no verdict: {}", reasons[i]));
  if (reasons.size() > kReasonsShown)
    lines.push_back(say("and {} more, in verdicts.json", reasons.size() - kReasonsShown));
  lines.insert(lines.end(), conclusion.arms.begin(), conclusion.arms.end());
  out += bullets(language, lines);
  if (const Finding* worst = worst_finding(all_findings(run)))
    out += tr(language, "Worst bound ratio: {} at {}.", ratio_text(worst->metrics.bound_ratio),
              code(worst->key())) +
           "\n\n";
  return out;
}

std::string results_text(const RunResult& run, Language language) {
  std::string out = heading(2, tr(language, "Results"));
  if (run.findings.empty()) return out + tr(language, "None: no probe found anything to say.") + "\n\n";
  out += heading(3, tr(language, "By probe")) + grid_text(by_probe(run), tr(language, "probe \\ arm"));
  out += heading(3, tr(language, "By prompt and phase")) +
         grid_text(by_case(run, language), tr(language, "case \\ arm"));
  if (!run.models.empty())
    out += heading(3, tr(language, "Arms and prompts")) +
           grid_text(by_prompt(run, language), tr(language, "arm \\ prompt"));
  out += figures_text(run, language);
  for (const auto& probe : group_by(all_findings(run), probe_name))
    if (has_stages(probe.findings)) out += heading(3, escaped(probe.name)) + stage_tables(probe, language);
  return out + weights_text(run, language) + drift_text(run, language) + explanations_text(run, language) +
         failures_text(run, language);
}

std::string list_of(const std::string& title, const std::vector<Message>& items, Language language) {
  return items.empty() ? "" : title + "\n\n" + bullets(language, items);
}

std::string conclusion_text(const Conclusion& conclusion, Language language) {
  return heading(2, tr(language, "Conclusion")) + escaped(in(language, conclusion.verdict)) + "\n\n" +
         list_of(tr(language, "What was measured:"), conclusion.measured, language) +
         list_of(tr(language, "What this excludes:"), conclusion.excluded, language) +
         list_of(tr(language, "What it does not exclude:"), conclusion.open, language);
}

std::string command(const std::string& text) { return text.empty() ? "\n" : "\n\n```\n" + text + "\n```\n"; }

// An arm that the suite did not want to fail.
const ArmResult* unexpected(const RunResult& run) {
  for (const auto& arm : run.arms)
    if (first_failing(run, arm) && outcome_of(run, arm) == Status::fail) return &arm;
  return nullptr;
}

std::string next_step_text(const RunResult& run, Language language) {
  const ArmResult* arm = unexpected(run);
  if (verdict_of(run) == Status::fail && arm) {
    const Finding& first = *first_failing(run, *arm);
    const std::string what = code(first.stage.empty() ? first.probe : first.stage);
    std::string out = first.kernel.empty() ? tr(language, "Look at {} in arm {}.", what, code(arm->name))
                                           : tr(language, "Look at {} in arm {}, computed by {}.", what,
                                                code(arm->name), code(first.kernel));
    for (const auto& e : run.explanations)
      if (e.arm == arm->name && e.stage == first.stage && e.answer == Answer::explained)
        out +=
            " " + (e.observed.empty()
                       ? tr(language, "Its cause is proved: {}.", code(e.fitting.front().text()))
                       : tr(language, "What fits, and is not proved: {}.", code(e.fitting.front().text())));
    return out + " " + tr(language, "Run it again alone:") + command(rerun_command(run, first));
  }
  if (verdict_of(run) == Status::pass)
    return tr(language, "None is needed. To reproduce:") + command(run.rerun);
  return tr(language, "Remove the reasons listed in the executive summary and run again:") +
         command(run.rerun);
}

}  // namespace

std::string markdown_report(const RunResult& run, Language language) {
  const Conclusion conclusion = conclusion_of(run);
  const std::string title = run.title.empty() ? tr(language, "run") : run.title;
  return heading(1, escaped(title) + ": " + upper_name(verdict_of(run), language)) +
         summary_text(run, conclusion, language) + method_text(run, language) + results_text(run, language) +
         conclusion_text(conclusion, language) + heading(2, tr(language, "Next step")) +
         next_step_text(run, language);
}

void write_markdown(const RunResult& run, const std::string& path, Language language) {
  write_atomically(path, markdown_report(run, language));
}

}  // namespace greta::reports
