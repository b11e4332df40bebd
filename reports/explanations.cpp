#include "reports/explanations.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/cause.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Answer;
using probes::Explanation;
using probes::Trial;

constexpr size_t kShown = 4;  // of what is excluded; the rest is counted

Message heading_word(Answer answer) {
  switch (answer) {
    case Answer::explained:
      return say("EXPLAINED");
    case Answer::indistinguishable:
      return say("INDISTINGUISHABLE");
    case Answer::unexplained:
      break;
  }
  return say("UNEXPLAINED");
}

// "half_sum=f16 (ratio 12.5)"
Message tried(const Trial& trial) {
  const std::string ratio = ratio_text(trial.ratio);
  if (!trial.applies) return say("{} ({})", trial.text(), trial.note);
  return trial.note.empty() ? say("{} (ratio {})", trial.text(), ratio)
                            : say("{} (ratio {}: {})", trial.text(), ratio, trial.note);
}

Message first_of(const std::vector<Trial>& trials) {
  std::vector<Message> shown;
  for (size_t i = 0; i < std::min(kShown, trials.size()); ++i) shown.push_back(tried(trials[i]));
  return joined(shown, ", ");
}

Message excluded(const Explanation& e) {
  const Message shown = first_of(e.excluded);
  return e.excluded.size() > kShown
             ? say("{}, and {} more with larger misfits", shown, e.excluded.size() - kShown)
             : shown;
}

Message untested(const Explanation& e) {
  const Message shown = first_of(e.not_applicable);
  return e.not_applicable.size() > kShown ? say("{}, and {} more", shown, e.not_applicable.size() - kShown)
                                          : shown;
}

// The first key of a list, and how many there are beside it.
Message first_key(const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  return keys.size() > 1 ? say("{}, and {} more of them", keys.front(), keys.size() - 1)
                         : verbatim(keys.front());
}

}  // namespace

Message answer_word(Answer answer) {
  switch (answer) {
    case Answer::explained:
      return say("explained");
    case Answer::indistinguishable:
      return say("indistinguishable");
    case Answer::unexplained:
      break;
  }
  return say("unexplained");
}

std::string explanation_text(const Explanation& e, bool colours, Language language) {
  std::string out = "  " + paint(in(language, heading_word(e.answer)), "1", colours) + "  ";
  out += (e.arm.empty() ? e.stage : tr(language, "{}, arm {}", e.stage, e.arm)) + "\n";
  LabelledLines lines;
  const auto line = [&](const char* name, const Message& value) {
    lines.emplace_back(translate(language, name), in(language, value));
  };
  line(tr_noop("says"), e.conclusion());
  for (const auto& trial : e.fitting)
    for (const auto& text : trial.causes) {
      const Cause& cause = find_cause(text);
      line(tr_noop("cause"), say("{}: {} (seen: {})", text, phrase(cause.what), phrase(cause.seen)));
    }
  line(tr_noop("fails in"), e.scope);
  line(tr_noop("excluded"), excluded(e));
  line(tr_noop("not tested"), untested(e));
  line(tr_noop("note"), e.note);
  line(tr_noop("findings"), first_key(e.places));
  if (e.consequences.size() == 1)
    line(tr_noop("behind it"), say("{} fails because of this", e.consequences.front()));
  else if (!e.consequences.empty())
    line(tr_noop("behind it"),
         say("{} fail because of this: {}", grouped(static_cast<int64_t>(e.consequences.size())),
             first_key(e.consequences)));
  return out + labelled(lines, 4, 11);
}

std::string explanations_section(const RunResult& run, bool colours, Language language) {
  if (run.explanations.empty()) return {};
  std::string out = "\n" + paint(tr(language, "explanations of the stages that fail"), "1", colours) + "\n";
  for (const auto& explanation : run.explanations) out += explanation_text(explanation, colours, language);
  return out;
}

}  // namespace greta::reports
