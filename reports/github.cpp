#include "reports/github.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "reports/summary.hpp"
#include "reports/unmet.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;

struct Annotation {
  std::string title, arm, text;
};

std::string escaped(std::string_view text, std::string_view characters) {
  std::string out;
  for (const char c : text) {
    if (characters.find(c) == std::string_view::npos)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Annotation annotation_of(const RunResult& run, const Finding& finding, Language language) {
  std::string text = finding.key() + "\n" + in(language, finding.message);
  if (finding.metrics.count > 0)
    text += "\n" + in(language, say("worst element: {}", worst_element(finding, language)));
  if (const auto command = rerun_command(run, finding); !command.empty())
    text += "\n" + in(language, say("rerun: {}", command));
  const std::string where = finding.stage.empty() ? finding.probe : finding.stage;
  const std::string layer = finding.layer < 0 ? "" : " " + in(language, say("layer {}", finding.layer));
  return {fmt::format("{} {}: {}{} {}", upper_name(status_of(finding), language), finding.arm,
                      case_name(finding), layer, where),
          finding.arm, text};
}

// In the order in which they are worth one of the ten places.
std::vector<Annotation> annotations_of(const RunResult& run, Language language) {
  std::vector<Annotation> out, later;
  if (verdict_of(run) == Status::invalid)
    for (const auto& reason : invalid_reasons(run))
      out.push_back({in(language, say("INVALID: no verdict")), "", in(language, reason)});
  for (const auto& arm : run.arms) {
    const Status outcome = outcome_of(run, arm);
    if (outcome == Status::pass) continue;
    if (arm.expect.any()) {
      out.push_back(
          {in(language, say("{} {}: not what the suite expects", upper_name(outcome, language), arm.name)),
           arm.name, unmet(run, arm, language)});
      continue;
    }
    const auto bad = select(all_findings(run), [&](const Finding& finding) {
      return finding.arm == arm.name && status_of(finding) == Status::fail;
    });
    bool first = true;
    for (const auto& at : group_by(bad, case_name)) {
      (first ? out : later).push_back(annotation_of(run, *at.findings.front(), language));
      first = false;
    }
  }
  out.insert(out.end(), later.begin(), later.end());
  return out;
}

std::string line_of(const Annotation& annotation, const SuitePlace& place) {
  std::string out = "::error title=" + github_property(annotation.title);
  if (!place.file.empty()) {
    const auto line = place.arm_lines.find(annotation.arm);
    out += ",file=" + github_property(place.file) +
           fmt::format(",line={}", line == place.arm_lines.end() ? 1 : line->second);
  }
  return out + "::" + github_data(annotation.text) + "\n";
}

std::string escaped_pipe(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string cell(std::string_view text) { return text.empty() ? "—" : "`" + escaped_pipe(text) + "`"; }

}  // namespace

std::string github_data(std::string_view text) { return escaped(text, "%\r\n"); }
std::string github_property(std::string_view text) { return escaped(text, "%\r\n:,"); }

std::string github_annotations(const RunResult& run, const SuitePlace& place, Language language) {
  const auto all = annotations_of(run, language);
  std::string out;
  for (size_t i = 0; i < std::min(all.size(), kGithubErrors); ++i) out += line_of(all[i], place);
  std::string notice = counts_text(run, language);
  if (all.size() > kGithubErrors)
    notice += "; " + in(language,
                        say("{} more annotations are left out, see report.md", all.size() - kGithubErrors));
  return out + fmt::format("::notice title={}::{}\n",
                           github_property(
                               fmt::format("greta {}: {}", upper_name(verdict_of(run), language), run.title)),
                           github_data(notice));
}

std::string github_summary(const RunResult& run, Language language) {
  const auto t = [&](const Message& message) { return in(language, message); };
  std::string out = fmt::format("## greta {}: {}\n\n{}.\n\n", upper_name(verdict_of(run), language),
                                run.title, counts_text(run, language));
  for (const auto& reason : invalid_reasons(run)) out += "- " + in(language, reason) + "\n";
  out += fmt::format("\n| {} | {} | {} | {} | {} |\n| --- | --- | --- | --- | --- |\n", t(say("arm")),
                     t(say("verdict")), t(say("expected")), t(say("first failing")), t(say("explained as")));
  for (const auto& arm : run.arms) {
    const Finding* first = first_failing(run, arm);
    const std::string expected = !arm.expect.any() ? "—"
                                 : outcome_of(run, arm) == Status::pass
                                     ? t(say("came as expected"))
                                     : escaped_pipe(unmet(run, arm, language));
    out += fmt::format("| {} | {} | {} | {} | {} |\n", cell(arm.name),
                       upper_name(probes::worse(arm.status, conclude_arm(run, arm.name)), language), expected,
                       cell(first ? first->key() : ""),
                       cell(fmt::format("{}", fmt::join(causes_of(run, arm.name), ", "))));
  }
  out +=
      "\n" +
      t(say("Model {} ({}), device {}, greta {} ({}).", cell(run.identity.model_digest),
            run.identity.model_path, run.identity.device, run.identity.greta_version, run.identity.build)) +
      "\n";
  if (!run.rerun.empty()) out += fmt::format("\n```sh\n{}\n```\n", run.rerun);
  return out;
}

}  // namespace greta::reports
