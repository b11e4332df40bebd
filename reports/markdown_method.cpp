// report.md, section "Method": what was asked of what, under which conditions.
#include "reports/markdown_text.hpp"
#include "reports/table.hpp"

namespace greta::reports::markdown {
namespace {

using probes::Status;

std::string identity_table(const RunResult& run, Language language) {
  const auto& id = run.identity;
  std::string out = head_of({tr(language, "what"), tr(language, "which")}, 2);
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) out += row_of({name, code(value)});
  };
  add(tr(language, "suite"), run.suite_path);
  for (const auto& file : model_files(run)) {
    add(tr(language, "model"), file.path);
    add(tr(language, "model digest (XXH3-64)"), file.digest);
  }
  add(tr(language, "device"), id.device);
  add(tr(language, "backend"), id.backend);
  add(tr(language, "reference"), run.reference);
  add("greta", id.greta_version);
  add(tr(language, "build"), id.build);
  add(tr(language, "created"), id.created);
  add(tr(language, "command"), id.command_line);
  add(tr(language, "took"), tr(language, "{} (engine {}, reference {})", duration(run.wall_seconds),
                               duration(run.engine_seconds), duration(run.reference_seconds)));
  for (const auto& [prompt, tokens] : id.prompt_tokens)
    add(tr(language, "prompt {}", escaped(prompt)), tr(language, "{} tokens", tokens.size()));
  return out + "\n";
}

// Whether what the suite expects of an arm came.
std::string expected_text(const RunResult& run, const ArmResult& arm, Language language) {
  if (!arm.expect.any()) return "—";
  Message why;
  const bool met = outcome_of(run, arm, &why) == Status::pass;
  return met ? escaped(tr(language, "{}: came so", arm.expect.text()))
             : "**" + escaped(in(language, why)) + "**";
}

std::string arms_table(const RunResult& run, Language language) {
  std::string out = head_of(
      {tr(language, "arm"), tr(language, "settings"), tr(language, "verdict"), tr(language, "expected")}, 4);
  for (const auto& arm : run.arms)
    out += row_of({code(arm.name), code(arm.settings),
                   upper_name(probes::worse(arm.status, conclude_arm(run, arm.name)), language),
                   expected_text(run, arm, language)});
  return out + "\n";
}

// A control that says the same of every arm takes one row.
std::string controls_table(const RunResult& run, Language language) {
  if (run.controls.empty()) return {};
  std::string out = heading(3, tr(language, "Controls")) +
                    tr(language, "What must hold before anything is concluded.") + "\n\n" +
                    head_of({tr(language, "control"), tr(language, "arm"), tr(language, "holds"),
                             tr(language, "what was found")},
                            4);
  std::vector<bool> told(run.controls.size(), false);
  for (size_t i = 0; i < run.controls.size(); ++i) {
    const Control& control = run.controls[i];
    if (told[i]) continue;
    std::string arms;
    for (size_t k = i; k < run.controls.size(); ++k) {
      const Control& other = run.controls[k];
      if (other.name != control.name || other.status != control.status || !(other.line == control.line))
        continue;
      told[k] = true;
      arms += (arms.empty() ? "" : ", ") + code(other.arm);
    }
    out += row_of({escaped(control.name), arms,
                   control.status == Status::pass ? tr(language, "yes") : "**" + tr(language, "no") + "**",
                   escaped(in(language, control.line))});
  }
  return out + "\n";
}

}  // namespace

std::string method_text(const RunResult& run, Language language) {
  std::string out = heading(2, tr(language, "Method"));
  for (const auto& probe : group_by(all_findings(run), probe_name))
    out += "- " +
           tr(language, "probe {}: {} comparisons", code(probe.name),
              grouped(static_cast<int64_t>(probe.findings.size()))) +
           "\n";
  out +=
      "\n" +
      tr(language,
         "A cell of the tables below is the worst bound ratio, max |error| / bound: at most 1 passes. Bounds "
         "are computed, element by element, from the arithmetic that each kernel declares (its contract) and "
         "from the operands themselves. `✗`: out of bound, `?`: no verdict, `·`: nothing planned.") +
      "\n\n";
  return out + identity_table(run, language) + arms_table(run, language) + controls_table(run, language);
}

}  // namespace greta::reports::markdown
