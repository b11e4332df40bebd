#include "reports/terminal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "reports/drift.hpp"
#include "reports/explanations.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;

constexpr std::string_view kRed = "31", kGreen = "32", kYellow = "33", kBold = "1";
constexpr int kStageColumn = 17;  // indent and the longest stage's name
constexpr int kLayerColumn = 7;   // two spaces and "✗1e12"

std::string_view colour_of(Status status) {
  return status == Status::pass ? kGreen : status == Status::fail ? kRed : kYellow;
}

TextCell painted(const Cell& cell) {
  const bool plain = cell.findings == 0 || cell.status == Status::pass;
  return {to_string(cell), plain ? std::string_view() : colour_of(cell.status)};
}

std::string grid_text(const Grid& grid, const std::string& corner, bool colours) {
  std::vector<std::string> header = {corner};
  header.insert(header.end(), grid.columns.begin(), grid.columns.end());
  Table table(header);
  for (size_t row = 0; row < grid.rows.size(); ++row) {
    std::vector<TextCell> cells = {{grid.rows[row], {}}};
    for (const auto& cell : grid.cells[row]) cells.push_back(painted(cell));
    table.add_row(std::move(cells));
  }
  return table.text(colours);
}

std::string heading(const std::string& text, bool colours) {
  return "\n" + paint(text, kBold, colours) + "\n";
}

std::string identity_text(const RunResult& run) {
  const auto& id = run.identity;
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<10} {}\n", name, value);
  };
  line("suite", run.suite_path);
  for (const auto& file : model_files(run))
    line("model", file.path + (file.digest.empty() ? "" : "  xxh3 " + file.digest));
  line("device", id.device + (id.backend.empty() ? "" : " (" + id.backend + ")"));
  line("reference", run.reference);
  line("greta", id.greta_version + (id.build.empty() ? "" : "  " + id.build));
  line("created", id.created);
  if (run.wall_seconds > 0)
    line("took", fmt::format("{} (engine {}, reference {})", duration(run.wall_seconds),
                             duration(run.engine_seconds), duration(run.reference_seconds)));
  return out;
}

std::string reasons_text(const RunResult& run, const TerminalOptions& options) {
  const auto reasons = invalid_reasons(run);
  if (verdict_of(run) != Status::invalid || reasons.empty()) return {};
  std::string out = heading("no verdict, because", options.colours);
  const size_t shown = std::min(reasons.size(), static_cast<size_t>(options.max_listed));
  for (size_t i = 0; i < shown; ++i) out += "  " + reasons[i].text() + "\n";
  if (shown < reasons.size())
    out += fmt::format("  and {} more: see {}\n", reasons.size() - shown, options.rest);
  return out;
}

// One line a control that holds in all its arms; one an arm where it does not.
std::string controls_text(const RunResult& run, bool colours) {
  if (run.controls.empty()) return {};
  std::vector<std::string> names;
  for (const auto& control : run.controls)
    if (std::find(names.begin(), names.end(), control.name) == names.end()) names.push_back(control.name);
  std::string out = heading("controls", colours);
  for (const auto& name : names) {
    int holds = 0;
    const Control* last = nullptr;
    for (const auto& control : run.controls) {
      if (control.name != name) continue;
      if (control.status == Status::pass) {
        ++holds;
        last = &control;
        continue;
      }
      out += fmt::format("  {:<8} {} in arm {}: {}\n", name, paint("does not hold", kYellow, colours),
                         control.arm, control.line.text());
    }
    if (holds > 0)
      out += fmt::format("  {:<8} holds in {} {}: {}\n", name, holds, holds == 1 ? "arm" : "arms",
                         last->line.text());
  }
  return out;
}

// What the suite expects of its arms, and what came.
std::string expectations_text(const RunResult& run, bool colours) {
  std::string out;
  for (const auto& arm : run.arms) {
    if (!arm.expect.any()) continue;
    Message why;
    const bool met = outcome_of(run, arm, &why) == Status::pass;
    out += fmt::format(
        "  {:<16} {}\n", arm.name,
        met ? fmt::format("{}, as expected", arm.expect.text().text()) : paint(why.text(), kRed, colours));
  }
  return out.empty() ? out : heading("expected of the arms", colours) + out;
}

std::string stage_table(const std::string& title, const FindingRefs& findings,
                        const TerminalOptions& options) {
  const int columns = std::max(2, (options.width - kStageColumn) / kLayerColumn);
  return heading(title, options.colours) +
         grid_text(stage_by_layer(findings, columns), "stage \\ layer", options.colours);
}

std::string own_title(const Finding& finding) {
  return fmt::format("{}, {}, arm {}", probe_name(finding), case_name(finding), finding.arm);
}

// Cases that pass share a table, unless all were asked for; a case that does not has its own.
std::string probe_tables(const Group& probe, const TerminalOptions& options) {
  std::string out;
  FindingRefs together;
  size_t cases_together = 0;
  int listed = 0, unlisted = 0;
  const auto stages = select(probe.findings, [](const Finding& f) { return !is_weight(f); });
  for (const auto& group : group_by(stages, own_title)) {
    const bool own = options.tables == Tables::all || worst_status(group.findings) != Status::pass;
    if (!own) {
      together.insert(together.end(), group.findings.begin(), group.findings.end());
      ++cases_together;
    } else if (options.tables == Tables::all || listed < options.max_listed) {
      out += stage_table(group.name, group.findings, options);
      ++listed;
    } else {
      ++unlisted;
    }
  }
  if (unlisted)
    out += fmt::format("  and {} more cases out of bound: --tables all, or {}\n", unlisted, options.rest);
  if (cases_together == 0) return out;
  const std::string title =
      fmt::format("{}, worst of the {} cases (prompt, arm, phase) that pass", probe.name, cases_together);
  if (options.tables == Tables::folded && all_zero(together))
    return heading(title, options.colours) +
           fmt::format("  0 in all {} comparisons\n", grouped(static_cast<int64_t>(together.size()))) + out;
  return stage_table(title, together, options) + out;
}

std::string weights_text(const RunResult& run, bool colours) {
  const auto weights = select(all_findings(run), is_weight);
  if (weights.empty()) return {};
  const Finding* worst = worst_finding(weights);
  const auto bad = select(weights, [](const Finding& f) { return status_of(f) != Status::pass; });
  return heading("weights", colours) +
         fmt::format("  {} compared, {} not within bound; worst ratio {} ({}, arm {})\n",
                     grouped(static_cast<int64_t>(weights.size())), grouped(static_cast<int64_t>(bad.size())),
                     ratio_text(worst->metrics.bound_ratio), worst->stage, worst->arm);
}

// Two lines: how far the run drifts, and which stages lean to one side.
std::string drift_text(const RunResult& run, bool colours) {
  constexpr size_t kMost = 8;
  const Drift drift = drift_of(run);
  if (drift.empty()) return {};
  std::string out = heading("drift (chained ratio, worst) and bias (z of the mean error, local)", colours);
  if (!drift.by_position.empty()) {
    out += "  drift  ";
    if (!drift.by_layer.empty()) out += "after layer " + points_text(drift.by_layer, kMost) + "; ";
    if (drift.logits) out += "logits " + ratio_text(*drift.logits) + "; ";
    out += "at position " + points_text(drift.by_position, kMost) + "\n";
  }
  std::string largest;
  for (size_t i = 0; i < std::min<size_t>(drift.bias.size(), 4); ++i)
    largest += fmt::format("{}{} {} ({})", i ? ", " : "", drift.bias[i].stage, z_text(drift.bias[i].z),
                           drift.bias[i].arm);
  if (!largest.empty()) out += fmt::format("  bias   largest of {} stages: {}\n", drift.bias.size(), largest);
  return out;
}

std::string finding_text(const RunResult& run, const Finding& finding) {
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("    {:<8} {}\n", name, value);
  };
  line("worst", worst_element(finding));
  line("bound", finding.reason);
  line("kernel", finding.kernel + (finding.contract.empty() ? "" : "  [" + finding.contract + "]"));
  line("says", finding.message.text());
  line("rerun", rerun_command(run, finding));
  return out;
}

std::string failures_text(const RunResult& run, bool colours) {
  std::string out;
  for (const auto& arm : run.arms) {
    const Finding* first = first_failing(run, arm);
    if (!first) continue;
    out += heading(fmt::format("arm {}: first failing stage", arm.name), colours);
    out += "  " + paint(first->key(), kRed, colours) + "\n" + finding_text(run, *first);
    const Finding* worst = worst_finding(select(all_findings(run), [&](const Finding& f) {
      return f.arm == arm.name && status_of(f) == Status::fail;
    }));
    if (worst == first) continue;
    out += fmt::format("  worst: {}\n", paint(worst->key(), kRed, colours)) + finding_text(run, *worst);
  }
  return out;
}

std::string notes_text(const RunResult& run, const TerminalOptions& options) {
  const auto notes = select(
      all_findings(run), [](const Finding& f) { return status_of(f) == Status::pass && !f.message.empty(); });
  if (notes.empty()) return {};
  std::string out = heading("notes", options.colours);
  const size_t shown = std::min(notes.size(), static_cast<size_t>(options.max_listed));
  for (size_t i = 0; i < shown; ++i)
    out += fmt::format("  {}: {}\n", notes[i]->key(), notes[i]->message.text());
  if (shown < notes.size()) out += fmt::format("  and {} more: see {}\n", notes.size() - shown, options.rest);
  return out;
}

}  // namespace

std::string verdict_line(const RunResult& run, bool colours) {
  const Status verdict = verdict_of(run);
  return fmt::format("{}  {}: {}\n", paint(upper_name(verdict), colour_of(verdict), colours),
                     run.title.empty() ? "run" : run.title, counts_text(run));
}

std::string terminal_report(const RunResult& run, const TerminalOptions& options) {
  const bool colours = options.colours;
  std::string out = verdict_line(run, colours) + identity_text(run) + reasons_text(run, options);
  out += controls_text(run, colours) + expectations_text(run, colours);
  if (run.findings.empty()) return out;
  out += heading("worst bound ratio (at most 1 passes), by probe", colours);
  out += grid_text(by_arm(run, probe_name), "probe \\ arm", colours);
  out += heading("by prompt and phase", colours);
  out += grid_text(by_arm(run, case_name), "case \\ arm", colours);
  if (!run.models.empty())
    out += heading("arms and prompts", colours) + grid_text(arm_by_prompt(run), "arm \\ prompt", colours);
  for (const auto& probe : group_by(all_findings(run), probe_name))
    if (has_stages(probe.findings)) out += probe_tables(probe, options);
  out += weights_text(run, colours) + drift_text(run, colours) + notes_text(run, options) +
         failures_text(run, colours);
  out += explanations_section(run, colours);
  if (!run.rerun.empty()) out += "\nrerun  " + run.rerun + "\n";
  return out;
}

}  // namespace greta::reports
