#include "reports/terminal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "datasets/message.hpp"
#include "reports/drift.hpp"
#include "reports/explanations.hpp"
#include "reports/figures.hpp"
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

std::string identity_text(const RunResult& run, Language language) {
  const auto& id = run.identity;
  LabelledLines lines;
  const auto line = [&](const char* name, const std::string& value) {
    lines.emplace_back(translate(language, name), value);
  };
  line(tr_noop("suite"), run.suite_path);
  for (const auto& file : model_files(run))
    line(tr_noop("model"), file.path + (file.digest.empty() ? "" : "  xxh3 " + file.digest));
  line(tr_noop("device"), id.device + (id.backend.empty() ? "" : " (" + id.backend + ")"));
  line(tr_noop("reference"), run.reference);
  line("greta", id.greta_version + (id.build.empty() ? "" : "  " + id.build));
  line(tr_noop("created"), id.created);
  if (run.wall_seconds > 0)
    line(tr_noop("took"), tr(language, "{} (engine {}, reference {})", duration(run.wall_seconds),
                             duration(run.engine_seconds), duration(run.reference_seconds)));
  return labelled(lines, 2, 10);
}

std::string reasons_text(const RunResult& run, const TerminalOptions& options) {
  const auto reasons = invalid_reasons(run);
  if (verdict_of(run) != Status::invalid || reasons.empty()) return {};
  std::string out = heading(tr(options.language, "no verdict, because"), options.colours);
  const size_t shown = std::min(reasons.size(), static_cast<size_t>(options.max_listed));
  for (size_t i = 0; i < shown; ++i) out += "  " + in(options.language, reasons[i]) + "\n";
  if (shown < reasons.size())
    out += "  " + tr(options.language, "and {} more: see {}", reasons.size() - shown, options.rest) + "\n";
  return out;
}

// One line a control that holds in all its arms; one an arm where it does not.
std::string controls_text(const RunResult& run, bool colours, Language language) {
  if (run.controls.empty()) return {};
  std::vector<std::string> names;
  for (const auto& control : run.controls)
    if (std::find(names.begin(), names.end(), control.name) == names.end()) names.push_back(control.name);
  std::string out = heading(tr(language, "controls"), colours);
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
      out +=
          fmt::format("  {:<8} {}\n", name,
                      tr(language, "{} in arm {}: {}", paint(tr(language, "does not hold"), kYellow, colours),
                         control.arm, control.line));
    }
    if (holds > 0)
      out += fmt::format("  {:<8} {}\n", name,
                         holds == 1 ? tr(language, "holds in {} arm: {}", holds, last->line)
                                    : tr(language, "holds in {} arms: {}", holds, last->line));
  }
  return out;
}

// What the suite expects of its arms, and what came.
std::string expectations_text(const RunResult& run, bool colours, Language language) {
  std::string out;
  for (const auto& arm : run.arms) {
    if (!arm.expect.any()) continue;
    Message why;
    const bool met = outcome_of(run, arm, &why) == Status::pass;
    out += fmt::format(
        "  {:<16} {}\n", arm.name,
        met ? tr(language, "{}, as expected", arm.expect.text()) : paint(in(language, why), kRed, colours));
  }
  return out.empty() ? out : heading(tr(language, "expected of the arms"), colours) + out;
}

std::string stage_table(const std::string& title, const FindingRefs& findings,
                        const TerminalOptions& options) {
  const int columns = std::max(2, (options.width - kStageColumn) / kLayerColumn);
  return heading(title, options.colours) + grid_text(stage_by_layer(findings, columns, options.language),
                                                     tr(options.language, "stage \\ layer"), options.colours);
}

std::string own_title(const Finding& finding, Language language) {
  return tr(language, "{}, {}, arm {}", probe_name(finding), case_name(finding), finding.arm);
}

// Cases that pass share a table, unless all were asked for; a case that does not has its own.
std::string probe_tables(const Group& probe, const TerminalOptions& options) {
  std::string out;
  FindingRefs together;
  size_t cases_together = 0;
  int listed = 0, unlisted = 0;
  const auto stages = select(probe.findings, [](const Finding& f) { return !is_weight(f); });
  for (const auto& group :
       group_by(stages, [&](const Finding& f) { return own_title(f, options.language); })) {
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
    out +=
        "  " +
        tr(options.language, "and {} more cases out of bound: --tables all, or {}", unlisted, options.rest) +
        "\n";
  if (cases_together == 0) return out;
  const std::string title = tr(options.language, "{}, worst of the {} cases (prompt, arm, phase) that pass",
                               probe.name, cases_together);
  if (options.tables == Tables::folded && all_zero(together))
    return heading(title, options.colours) + "  " +
           tr(options.language, "0 in all {} comparisons", grouped(static_cast<int64_t>(together.size()))) +
           "\n" + out;
  return stage_table(title, together, options) + out;
}

std::string weights_text(const RunResult& run, bool colours, Language language) {
  const auto weights = select(all_findings(run), is_weight);
  if (weights.empty()) return {};
  const Finding* worst = worst_finding(weights);
  const auto bad = select(weights, [](const Finding& f) { return status_of(f) != Status::pass; });
  return heading(tr(language, "weights"), colours) + "  " +
         tr(language, "{} compared, {} not within bound; worst ratio {} ({}, arm {})",
            grouped(static_cast<int64_t>(weights.size())), grouped(static_cast<int64_t>(bad.size())),
            ratio_text(worst->metrics.bound_ratio), worst->stage, worst->arm) +
         "\n";
}

// Two lines: how far the run drifts, and which stages lean to one side.
std::string drift_text(const RunResult& run, bool colours, Language language) {
  constexpr size_t kMost = 8;
  const Drift drift = drift_of(run);
  if (drift.empty()) return {};
  LabelledLines lines;
  std::vector<Message> parts;
  if (!drift.by_layer.empty()) parts.push_back(say("after layer {}", points_text(drift.by_layer, kMost)));
  if (drift.logits) parts.push_back(say("logits {}", ratio_text(*drift.logits)));
  if (!drift.by_position.empty())
    parts.push_back(say("at position {}", points_text(drift.by_position, kMost)));
  if (!drift.by_position.empty())
    lines.emplace_back(tr(language, "drift"), in(language, joined(parts, "; ")));
  std::string largest;
  for (size_t i = 0; i < std::min<size_t>(drift.bias.size(), 4); ++i)
    largest += fmt::format("{}{} {} ({})", i ? ", " : "", drift.bias[i].stage, z_text(drift.bias[i].z),
                           drift.bias[i].arm);
  if (!largest.empty())
    lines.emplace_back(tr(language, "bias"),
                       tr(language, "largest of {} stages: {}", drift.bias.size(), largest));
  return heading(tr(language, "drift (chained ratio, worst) and bias (z of the mean error, local)"),
                 colours) +
         labelled(lines, 2, 6);
}

std::string finding_text(const RunResult& run, const Finding& finding, Language language) {
  LabelledLines lines;
  const auto line = [&](const char* name, const std::string& value) {
    lines.emplace_back(translate(language, name), value);
  };
  line(tr_noop("worst"), worst_element(finding, language));
  line(tr_noop("bound"), finding.reason);
  line(tr_noop("kernel"), finding.kernel + (finding.contract.empty() ? "" : "  [" + finding.contract + "]"));
  line(tr_noop("says"), in(language, finding.message));
  line(tr_noop("rerun"), rerun_command(run, finding));
  return labelled(lines, 4, 8);
}

std::string figures_text(const RunResult& run, const TerminalOptions& options) {
  std::string out;
  for (const auto& figures : measured_tables(run, options.max_rows)) {
    std::vector<std::string> header;
    for (const auto& name : figures.header) header.push_back(in(options.language, name));
    Table table(header);
    for (const auto& row : figures.rows) {
      std::vector<TextCell> cells;
      for (const auto& cell : row.cells)
        cells.push_back({cell, row.status == Status::pass ? std::string_view() : colour_of(row.status)});
      table.add_row(std::move(cells));
    }
    out += heading(in(options.language, figures.title), options.colours) + table.text(options.colours);
    if (figures.left_out > 0)
      out += "  … " + tr(options.language, "{} more rows in {}", figures.left_out, options.rest) + "\n";
  }
  return out;
}

std::string failures_text(const RunResult& run, bool colours, Language language) {
  std::string out;
  for (const auto& arm : run.arms) {
    const Finding* first = first_failing(run, arm);
    if (!first) continue;
    out += heading(tr(language, "arm {}: first failing stage", arm.name), colours);
    out += "  " + paint(first->key(), kRed, colours) + "\n" + finding_text(run, *first, language);
    const Finding* worst = worst_finding(select(all_findings(run), [&](const Finding& f) {
      return f.arm == arm.name && status_of(f) == Status::fail;
    }));
    if (worst == first) continue;
    out += "  " + tr(language, "worst: {}", paint(worst->key(), kRed, colours)) + "\n" +
           finding_text(run, *worst, language);
  }
  return out;
}

std::string notes_text(const RunResult& run, const TerminalOptions& options) {
  const auto notes = select(
      all_findings(run), [](const Finding& f) { return status_of(f) == Status::pass && !f.message.empty(); });
  if (notes.empty()) return {};
  std::string out = heading(tr(options.language, "notes"), options.colours);
  const size_t shown = std::min(notes.size(), static_cast<size_t>(options.max_listed));
  for (size_t i = 0; i < shown; ++i)
    out += fmt::format("  {}: {}\n", notes[i]->key(), in(options.language, notes[i]->message));
  if (shown < notes.size())
    out += "  " + tr(options.language, "and {} more: see {}", notes.size() - shown, options.rest) + "\n";
  return out;
}

}  // namespace

std::string verdict_line(const RunResult& run, bool colours, Language language) {
  const Status verdict = verdict_of(run);
  return fmt::format("{}  {}: {}\n", paint(upper_name(verdict, language), colour_of(verdict), colours),
                     run.title.empty() ? tr(language, "run") : run.title, counts_text(run, language));
}

std::string terminal_report(const RunResult& run, const TerminalOptions& options) {
  const bool colours = options.colours;
  const Language language = options.language;
  std::string out =
      verdict_line(run, colours, language) + identity_text(run, language) + reasons_text(run, options);
  out += controls_text(run, colours, language) + expectations_text(run, colours, language);
  if (run.findings.empty()) return out;
  out += heading(tr(language, "worst bound ratio (at most 1 passes), by probe"), colours);
  out += grid_text(by_probe(run), tr(language, "probe \\ arm"), colours);
  out += heading(tr(language, "by prompt and phase"), colours);
  out += grid_text(by_case(run, language), tr(language, "case \\ arm"), colours);
  if (!run.models.empty())
    out += heading(tr(language, "arms and prompts"), colours) +
           grid_text(by_prompt(run, language), tr(language, "arm \\ prompt"), colours);
  for (const auto& probe : group_by(all_findings(run), probe_name))
    if (has_stages(probe.findings)) out += probe_tables(probe, options);
  out += figures_text(run, options);
  out += weights_text(run, colours, language) + drift_text(run, colours, language) +
         notes_text(run, options) + failures_text(run, colours, language);
  out += explanations_section(run, colours, language);
  if (!run.rerun.empty()) out += "\n" + tr(language, "rerun") + "  " + run.rerun + "\n";
  return out;
}

}  // namespace greta::reports
