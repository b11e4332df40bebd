#include "reports/analysis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "datasets/stage.hpp"
#include "reports/atomic_file.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"
#include "reports/unmet.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;
using Lines = std::vector<std::string>;

class Analysis {
 public:
  Analysis(const RunResult& run, Language language) : run_(run), language_(language) {}
  std::string text() const;

 private:
  std::string in(const Message& message) const { return reports::in(language_, message); }
  Lines identity() const;
  Lines verdict() const;
  Lines arms() const;
  Lines divergences(const ArmResult& arm) const;
  std::string wrong_side(const Finding& first) const;
  Lines causes(const ArmResult& arm) const;
  Lines mae_table(const ArmResult& arm) const;
  Lines details(const ArmResult& arm) const;
  FindingRefs of(const ArmResult& arm) const {
    return select(all_findings(run_), [&](const Finding& f) { return f.arm == arm.name; });
  }
  // At most `most` lines; the last of them says how many are left out.
  Lines cut(Lines lines, size_t most) const;

  const RunResult& run_;
  Language language_;
};

bool in_phase(const Finding& finding, std::string_view phase) { return finding.phase == phase; }

Lines Analysis::cut(Lines lines, size_t most) const {
  if (lines.size() <= most) return lines;
  const size_t left_out = lines.size() - std::max<size_t>(most, 1) + 1;
  lines.resize(lines.size() - left_out);
  lines.push_back("  " + in(say("… {} lines left out, see report.md", left_out)));
  return lines;
}

Lines Analysis::identity() const {
  const auto& id = run_.identity;
  Lines out = {in(say("GRETA Verify {} ({}), {}", id.greta_version, id.build, id.created))};
  const auto add = [&](const Message& name, const std::string& value) {
    if (!value.empty()) out.push_back(fmt::format("{:<10} {}", in(name), value));
  };
  add(say("suite"), run_.suite_path);
  for (const auto& file : model_files(run_))
    add(say("model"), fmt::format("{} ({})", file.path, file.digest));
  add(say("device"), fmt::format("{}; {}", id.device, id.backend));
  add(say("reference"), run_.reference);
  Lines prompts;
  for (const auto& [prompt, tokens] : id.prompt_tokens)
    prompts.push_back(in(say("{} ({} tokens)", prompt, tokens.size())));
  add(say("prompts"), fmt::format("{}", fmt::join(prompts, ", ")));
  add(say("command"), id.command_line);
  add(say("rerun"), run_.rerun);
  return out;
}

Lines Analysis::verdict() const {
  Lines out = {"", fmt::format("{}  {}", upper_name(verdict_of(run_), language_), run_.title),
               "  " + counts_text(run_, language_)};
  for (const auto& reason : invalid_reasons(run_))
    out.push_back("  " + in(say("no verdict: {}", in(reason))));
  const auto hold = std::count_if(run_.controls.begin(), run_.controls.end(),
                                  [](const auto& c) { return c.status == Status::pass; });
  out.push_back("  " + in(say("{} of {} controls hold", hold, run_.controls.size())));
  return cut(std::move(out), 16);
}

Lines Analysis::arms() const {
  Lines out = {""};
  for (const auto& arm : run_.arms) {
    std::string line = in(say("arm {}: {}", arm.name, upper_name(conclude_arm(run_, arm.name), language_)));
    if (!arm.settings.empty()) line += fmt::format("  [{}]", arm.settings);
    if (arm.expect.any()) {
      const std::string why = unmet(run_, arm, language_);
      line += "  " + (why.empty() ? in(say("as expected ({})", in(arm.expect.text()))) : why);
    }
    out.push_back(std::move(line));
  }
  return cut(std::move(out), 24);
}

// Where the same stage of the same layer and prompt fails of its own inputs, and where it does not.
std::string Analysis::wrong_side(const Finding& first) const {
  std::vector<std::string> wrong, right;
  for (const auto& finding : run_.findings) {
    const bool same = finding.arm == first.arm && finding.prompt == first.prompt &&
                      finding.layer == first.layer && finding.stage == first.stage;
    if (!same || finding.mode != "local" || finding.phase.empty()) continue;
    if (status_of(finding) == Status::fail) wrong.push_back(finding.phase);
    if (status_of(finding) == Status::pass) right.push_back(finding.phase);
  }
  if (wrong.empty()) return {};
  if (right.empty())
    return in(
        say("wrong in {}, which is every phase that was judged", fmt::format("{}", fmt::join(wrong, ", "))));
  return in(say("wrong in {}, right in {}", fmt::format("{}", fmt::join(wrong, ", ")),
                fmt::format("{}", fmt::join(right, ", "))));
}

Lines Analysis::divergences(const ArmResult& arm) const {
  Lines out;
  for (const auto& prompt : group_by(of(arm), [](const Finding& f) { return f.prompt; })) {
    const auto first = std::find_if(prompt.findings.begin(), prompt.findings.end(),
                                    [](const auto* f) { return status_of(*f) == Status::fail; });
    if (first == prompt.findings.end()) continue;
    const Finding& f = **first;
    out.push_back("  " + in(say("first divergence: {}", f.key())));
    if (const auto message = in(f.message); !message.empty()) out.push_back("    " + message);
    out.push_back("    " +
                  in(say("ratio {} (certain {}), MAE {}", ratio_text(f.metrics.bound_ratio),
                         ratio_text(f.metrics.certain_ratio), fmt::format("{:.3g}", f.metrics.mae))));
    if (const auto side = wrong_side(f); !side.empty()) out.push_back("    " + side);
    if (const auto command = rerun_command(run_, f); !command.empty())
      out.push_back("    " + in(say("rerun: {}", command)));
  }
  return cut(std::move(out), 20);
}

Lines Analysis::causes(const ArmResult& arm) const {
  Lines out;
  for (const auto& explanation : run_.explanations)
    if (explanation.arm == arm.name)
      out.push_back("  " + explanation.stage + ": " + in(explanation.conclusion()));
  return cut(std::move(out), 10);
}

// The largest MAE of each stage over prompts and layers: of the two phases against each other, and of each
// against the reference, from its own inputs.
Lines Analysis::mae_table(const ArmResult& arm) const {
  struct Column {
    Message name;
    bool (*wanted)(const Finding&);
  };
  const Column columns[] = {
      {verbatim("prefill_last ↔ decode0"),
       [](const Finding& f) { return f.probe == "phase_parity" && in_phase(f, "decode0"); }},
      {verbatim("prefill"), [](const Finding& f) { return f.mode == "local" && in_phase(f, "prefill"); }},
      {verbatim("prefill_last"),
       [](const Finding& f) { return f.mode == "local" && in_phase(f, "prefill_last"); }},
      {verbatim("decode0"), [](const Finding& f) { return f.mode == "local" && in_phase(f, "decode0"); }}};
  std::vector<std::string> header = {in(say("MAE, worst of prompts and layers"))};
  std::vector<FindingRefs> chosen;
  for (const auto& column : columns) {
    auto findings =
        select(of(arm), [&](const Finding& f) { return f.metrics.count > 0 && column.wanted(f); });
    if (findings.empty()) continue;
    header.push_back(in(column.name));
    chosen.push_back(std::move(findings));
  }
  if (chosen.empty()) return {};
  Table table(header);
  for (const auto& stage : stages()) {
    std::vector<TextCell> row = {{std::string(stage.name), {}}};
    bool any = false;
    for (const auto& findings : chosen) {
      std::optional<double> worst;
      for (const auto* f : findings)
        if (f->stage == stage.name && !(worst && *worst >= f->metrics.mae)) worst = f->metrics.mae;
      any |= worst.has_value();
      row.push_back({worst ? fmt::format("{:.3g}", *worst) : "·", {}});
    }
    if (any) table.add_row(std::move(row));
  }
  Lines out;
  const std::string text = table.text(false);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

Lines Analysis::details(const ArmResult& arm) const {
  Lines out = {"", in(say("arm {}", arm.name))};
  const auto add = [&](Lines lines) { out.insert(out.end(), lines.begin(), lines.end()); };
  const Lines first = divergences(arm);
  if (first.empty()) out.push_back("  " + in(say("no divergence")));
  add(first);
  add(causes(arm));
  add(mae_table(arm));
  return out;
}

std::string Analysis::text() const {
  Lines out = identity();
  for (Lines part : {verdict(), arms()}) out.insert(out.end(), part.begin(), part.end());
  std::vector<const ArmResult*> order;  // what fails is what the ticket is about
  for (const auto& arm : run_.arms) order.push_back(&arm);
  std::stable_partition(order.begin(), order.end(),
                        [&](const auto* arm) { return first_failing(run_, *arm) != nullptr; });
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t room = kAnalysisLines - std::min(out.size(), kAnalysisLines - 1) - 1;
    const Lines part = cut(details(*order[i]), std::max<size_t>(room / (order.size() - i), 4));
    if (part.size() > room) {
      out.push_back(in(say("… {} arms left out, see report.md", order.size() - i)));
      break;
    }
    out.insert(out.end(), part.begin(), part.end());
  }
  return fmt::format("{}\n", fmt::join(out, "\n"));
}

}  // namespace

std::string analysis_report(const RunResult& run, Language language) {
  return Analysis(run, language).text();
}

void write_analysis(const RunResult& run, const std::string& path, Language language) {
  write_atomically(path, analysis_report(run, language));
}

}  // namespace greta::reports
