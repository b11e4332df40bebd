// The verdict for a person at a terminal, as one string.
//
//   PASS  acceptance: 5,520 of 5,520 planned tensors compared; …
//   identity: model, digest, device, reference, build, times
//   why there is no verdict (INVALID only)
//   probe × arm and case × arm: the worst bound ratio of each
//   stage × layer tables (see `Tables`)
//   tables of what probes measured: rows prompts (and heads) with the arms beside each other, columns figures
//   weights, drift and bias, and for each failing arm: first failing stage, worst element, bound and its
//   reason, rerun command
//
// Cells: "0.03" the worst max|err| / bound, at most 1 passes; "✗12" out of bound; "?" no verdict; "·" nothing
// planned there.
#pragma once

#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

enum class Tables {
  folded,  // one stage × layer table a probe over all cases that pass, and one of its own for each case that
           // does not
  all,     // one for each probe, arm, prompt and phase
};

struct TerminalOptions {
  int width = 100;       // columns; layers that do not fit are folded to the worst of ranges
  bool colours = false;  // the caller asks isatty
  Tables tables = Tables::folded;
  int max_listed = 12;             // of own tables, INVALID reasons and notes; the rest is counted
  size_t max_rows = 30;            // of a table of figures
  std::string rest = "report.md";  // where the rest is
  Language language = Language::english;
};

std::string terminal_report(const RunResult& run, const TerminalOptions& options);
// "PASS  acceptance: 5,520 of …" alone.
std::string verdict_line(const RunResult& run, bool colours, Language language = Language::english);

}  // namespace greta::reports
