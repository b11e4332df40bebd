// report.md, section "Results": explanations, and the findings that do not pass.
#include <algorithm>

#include "datasets/cause.hpp"
#include "reports/explanations.hpp"
#include "reports/markdown_text.hpp"
#include "reports/table.hpp"

namespace greta::reports::markdown {
namespace {

using probes::Finding;
using probes::Status;

constexpr size_t kTrialsShown = 6, kFindingsShown = 12, kNotesShown = 20;

std::string finding_text(const RunResult& run, const Finding& finding, Language language) {
  std::string out = "- " + upper_name(status_of(finding), language) + " " + code(finding.key()) + "\n";
  out += detail(tr(language, "says"), escaped(in(language, finding.message)));
  if (finding.metrics.count > 0) {
    out += detail(tr(language, "worst element"), worst_element(finding, language));
    out += detail(
        tr(language, "out of bound"),
        tr(language, "{} of {} elements, {} beyond the certain bound", grouped(finding.metrics.out_of_bound),
           grouped(finding.metrics.count), grouped(finding.metrics.out_of_certain)));
  }
  out += detail(tr(language, "bound"), escaped(finding.reason));
  out += detail(tr(language, "kernel"), code(finding.kernel));
  out += detail(tr(language, "contract"), code(finding.contract));
  return out + detail(tr(language, "rerun"), code(rerun_command(run, finding)));
}

std::string trials_text(const std::vector<probes::Trial>& trials, Language language) {
  std::string out;
  for (size_t i = 0; i < std::min(trials.size(), kTrialsShown); ++i) {
    const auto& trial = trials[i];
    const std::string name = code(trial.text()), note = escaped(in(language, trial.note)),
                      ratio = ratio_text(trial.ratio);
    out +=
        (out.empty() ? "" : ", ") + (!trial.applies ? tr(language, "{} ({})", name, note)
                                     : note.empty() ? tr(language, "{} (ratio {})", name, ratio)
                                                    : tr(language, "{} (ratio {}: {})", name, ratio, note));
  }
  return trials.size() > kTrialsShown ? tr(language, "{}, and {} more", out, trials.size() - kTrialsShown)
                                      : out;
}

std::string first_key(const std::vector<std::string>& keys, Language language) {
  return keys.empty() ? "" : tr(language, "{}, the first of them {}", keys.size(), code(keys.front()));
}

std::string explanation_text(const probes::Explanation& e, Language language) {
  std::string out = "- " +
                    tr(language, "arm {}, {}: **{}**. {}", code(e.arm), code(e.stage), answer_word(e.answer),
                       escaped(in(language, e.conclusion()))) +
                    "\n";
  out += detail(tr(language, "fails in"), escaped(in(language, e.scope)));
  for (const auto& trial : e.fitting)
    for (const auto& cause : trial.causes)
      out += detail(tr(language, "seen"),
                    code(cause) + ": " + escaped(in(language, phrase(find_cause(cause).seen))));
  out += detail(tr(language, "excluded"), trials_text(e.excluded, language));
  out += detail(tr(language, "not tested"), trials_text(e.not_applicable, language));
  out += detail(tr(language, "note"), escaped(in(language, e.note)));
  out += detail(tr(language, "findings"), first_key(e.places, language));
  return out + detail(tr(language, "behind it"), first_key(e.consequences, language));
}

}  // namespace

std::string explanations_text(const RunResult& run, Language language) {
  if (run.explanations.empty()) return {};
  std::string out = heading(3, tr(language, "Explanations")) +
                    tr(language,
                       "A known cause explains a stage when what it predicts is within its own error bound "
                       "in every tensor that "
                       "fails; the smaller of two misfits explains nothing.") +
                    "\n\n";
  for (const auto& explanation : run.explanations) out += explanation_text(explanation, language);
  return out + "\n";
}

std::string failures_text(const RunResult& run, Language language) {
  std::string out;
  for (const auto& arm : run.arms) {
    const auto bad = select(all_findings(run), [&](const Finding& f) {
      return f.arm == arm.name && status_of(f) != Status::pass;
    });
    if (bad.empty()) continue;
    out += heading(3, tr(language, "Not passed in arm {}", code(arm.name)));
    for (size_t i = 0; i < std::min(bad.size(), kFindingsShown); ++i)
      out += finding_text(run, *bad[i], language);
    if (bad.size() > kFindingsShown)
      out += "- " + tr(language, "and {} more, in verdicts.json", bad.size() - kFindingsShown) + "\n";
    out += "\n";
  }
  const auto notes = select(
      all_findings(run), [](const Finding& f) { return status_of(f) == Status::pass && !f.message.empty(); });
  if (notes.empty()) return out;
  out += heading(3, tr(language, "Notes"));
  for (size_t i = 0; i < std::min(notes.size(), kNotesShown); ++i)
    out += "- " + code(notes[i]->key()) + ": " + escaped(in(language, notes[i]->message)) + "\n";
  if (notes.size() > kNotesShown)
    out += "- " + tr(language, "and {} more, in verdicts.json", notes.size() - kNotesShown) + "\n";
  return out + "\n";
}

}  // namespace greta::reports::markdown
