// The reporters against baselines in testdata/: what a person sees changes on purpose only. A mismatch leaves
// the new text beside the test's temporary files; copy it over the baseline when it is what you want.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "reports/example_runs_test.hpp"
#include "reports/markdown.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"
#include "reports/terminal.hpp"

namespace greta::reports {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string baseline(const std::string& name) {
  const auto path = std::filesystem::path("reports/testdata") / name;  // ctest runs in the source tree
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_baseline(const std::string& name, const std::string& text) {
  if (text == baseline(name)) return;
  const std::string fresh = testing::TempDir() + name;
  std::ofstream(fresh, std::ios::binary) << text;
  ADD_FAILURE() << "differs from testdata/" << name << "; the new text is " << fresh << ":\n" << text;
}

struct Example {
  const char* name;
  RunResult run;
};
void PrintTo(const Example& example, std::ostream* out) { *out << example.name; }

class Reporters : public testing::TestWithParam<Example> {};
INSTANTIATE_TEST_SUITE_P(Runs, Reporters,
                         testing::Values(Example{"pass", passing_run()}, Example{"fail", failing_run()},
                                         Example{"explained", explained_run()}, Example{"invalid", nan_run()},
                                         Example{"interrupted", interrupted_run()}),
                         [](const auto& example) { return std::string(example.param.name); });

TEST_P(Reporters, Terminal) {
  expect_baseline(std::string(GetParam().name) + ".txt", terminal_report(GetParam().run, {}));
}
TEST_P(Reporters, TerminalInSpanish) {
  expect_baseline(std::string(GetParam().name) + ".es.txt",
                  terminal_report(GetParam().run, {.language = Language::spanish}));
}
TEST_P(Reporters, Markdown) {
  expect_baseline(std::string(GetParam().name) + ".md", markdown_report(GetParam().run));
}
TEST_P(Reporters, MarkdownInSpanish) {
  expect_baseline(std::string(GetParam().name) + ".es.md",
                  markdown_report(GetParam().run, Language::spanish));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(Reporter, NothingComparedNeverReadsPass) {
  RunResult empty;
  empty.title = "empty";
  empty.status = probes::Status::pass;
  RunResult uncounted = passing_run();
  uncounted.compared = uncounted.planned = 0;
  for (const RunResult& run : {empty, uncounted, nan_run(), interrupted_run()}) {
    EXPECT_THAT(terminal_report(run, {}), StartsWith("INVALID"));
    EXPECT_THAT(terminal_report(run, {}), HasSubstr("no verdict, because"));
    EXPECT_THAT(first_line(markdown_report(run)), HasSubstr("INVALID"));
    EXPECT_THAT(markdown_report(run), Not(HasSubstr("**PASS")));
  }
}

// The smaller of two misfits is never said to be a cause.
TEST(Reporter, AMisfitIsNoCause) {
  const RunResult run = explained_run();
  EXPECT_THAT(run.explanations[2].conclusion().text(), HasSubstr("is no cause"));
  EXPECT_THAT(run.explanations[2].conclusion().text(), Not(HasSubstr("weight_layout")));
  for (const auto& text : {terminal_report(run, {}), markdown_report(run)})
    EXPECT_THAT(text, HasSubstr("logits is unexplained"));
  EXPECT_THAT(terminal_report(failing_run(), {}), Not(HasSubstr("explanations")));
}

TEST(Reporter, PlannedAndComparedAreAlwaysSaid) {
  for (const RunResult& run : {passing_run(), failing_run(), nan_run()})
    EXPECT_THAT(first_line(terminal_report(run, {})), HasSubstr("26 of 26 planned tensors compared"));
  EXPECT_THAT(first_line(terminal_report(interrupted_run(), {})),
              HasSubstr("13 of 26 planned tensors compared"));
}

TEST(Reporter, ColoursOnlyWhenAsked) {
  EXPECT_THAT(terminal_report(failing_run(), {}), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(terminal_report(failing_run(), {.colours = true}), HasSubstr("\x1b[31m✗12.5\x1b[0m"));
}

TEST(Reporter, AllTablesNamesEachCase) {
  const std::string text = terminal_report(passing_run(), {.tables = Tables::all});
  for (const char* arm : {"auto", "valu"})
    for (const char* phase : {"prefill", "decode0"})
      EXPECT_THAT(text, HasSubstr(std::string("stage_parity (local), p0_short ") + phase + ", arm " + arm));
}

TEST(Reporter, AProbeThatIsZeroThroughoutIsOneLine) {
  RunResult run = passing_run();
  for (auto& finding : run.findings) finding.metrics.bound_ratio = 0;
  EXPECT_THAT(terminal_report(run, {}), HasSubstr("  0 in all 24 comparisons\n"));
  EXPECT_THAT(markdown_report(run), HasSubstr("\n0 in all 24 comparisons.\n"));
  EXPECT_THAT(terminal_report(run, {.tables = Tables::all}), Not(HasSubstr("0 in all")));
  break_finding(run.findings[1], 2);
  EXPECT_THAT(markdown_report(run), Not(HasSubstr("0 in all")));
  run.findings[1].metrics.bound_ratio = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(markdown_report(run), Not(HasSubstr("0 in all"))) << "a NaN is no zero";
}

FindingRefs refs(const std::vector<probes::Finding>& findings) {
  FindingRefs out;
  for (const auto& finding : findings) out.push_back(&finding);
  return out;
}

TEST(StageByLayer, ManyLayersFoldToTheWorstOfRanges) {
  std::vector<probes::Finding> findings;
  for (int layer = 0; layer < 32; ++layer)
    findings.push_back(example_finding("auto", "prefill", layer, "q", layer == 30 ? 0.75 : 0.25));
  break_finding(findings[7], 3);
  findings.push_back(example_finding("auto", "prefill", -1, "logits", 0.5));
  const Grid grid = stage_by_layer(refs(findings), 12);
  EXPECT_EQ(grid.columns.front(), "model");
  EXPECT_EQ(grid.columns[1], "0-2");
  EXPECT_EQ(grid.columns.back(), "30-31");
  EXPECT_LE(grid.columns.size(), 12u);
  EXPECT_EQ(to_string(grid.cells[0][3]), "✗3") << "layers 6-8";
  EXPECT_EQ(to_string(grid.cells[0].back()), "0.75");
  EXPECT_EQ(to_string(grid.cells[0][0]), "·") << "q belongs to a layer";
  int64_t counted = 0;
  for (const auto& row : grid.cells)
    for (const auto& cell : row) counted += cell.findings;
  EXPECT_EQ(counted, 33) << "nothing is lost in the folds";
}

TEST(StageByLayer, FitsTheTerminal) {
  RunResult run = passing_run();
  run.findings.clear();
  for (int layer = 0; layer < 80; ++layer) {
    run.findings.push_back(example_finding("auto", "prefill", layer, "attn_residual", 0.25));
    break_finding(run.findings.emplace_back(example_finding("auto", "prefill", layer, "ffn_residual", 1)),
                  1e12);
  }
  std::istringstream lines(terminal_report(run, {.width = 80}));
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    inside = line.find("stage \\ layer") != std::string::npos || (inside && !line.empty());
    if (!inside) continue;
    EXPECT_LE(display_width(line), 80) << line;
  }
}

TEST(StageByLayer, RowsAreInTheOrderOfTheForwardPass) {
  const std::vector<probes::Finding> findings = {example_finding("auto", "prefill", 0, "softmax", 0.5),
                                                 example_finding("auto", "prefill", -1, "logits", 0.5),
                                                 example_finding("auto", "prefill", 0, "attn_norm", 0.5),
                                                 example_finding("auto", "prefill", -1, "embed", 0.5)};
  EXPECT_EQ(stage_by_layer(refs(findings), 20).rows,
            (std::vector<std::string>{"embed", "attn_norm", "softmax", "logits"}));
}

TEST(Cell, NaNIsNeverAPass) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const auto status : {probes::Status::pass, probes::Status::fail, probes::Status::invalid}) {
    Cell cell;
    cell.add(example_finding("auto", "prefill", 0, "q", 0.5));
    auto finding = example_finding("auto", "prefill", 1, "q", nan);
    finding.status = status;
    cell.add(finding);
    EXPECT_NE(cell.status, probes::Status::pass);
    EXPECT_THAT(to_string(cell), AnyOf("?nan", "✗nan"));
  }
  Cell cell;
  auto finding = example_finding("auto", "prefill", 1, "q", infinity);
  finding.status = probes::Status::fail;
  cell.add(finding);
  EXPECT_EQ(to_string(cell), "✗inf");
  finding.metrics.bound_ratio = nan;
  cell.add(finding);
  EXPECT_EQ(to_string(cell), "✗nan") << "NaN is worse than infinity";
}

TEST(Cell, RatiosNeverRoundAcrossTheBound) {
  for (const double ratio : {0.9951, 0.9999, 0.99999999, 1.0})
    EXPECT_LE(std::stod(ratio_text(ratio)), 1.0) << ratio;
  EXPECT_NE(ratio_text(0.99999999), ratio_text(1.0));
  for (const double ratio : {1.0000001, 1.004}) EXPECT_EQ(ratio_text(ratio), ">1");
  EXPECT_EQ(ratio_text(0), "0");
  EXPECT_EQ(ratio_text(1e-9), "<.001");
  EXPECT_EQ(ratio_text(0.0312), "0.031");
  EXPECT_EQ(ratio_text(12.44), "12.4");
  EXPECT_EQ(ratio_text(4321), "4321");
  EXPECT_EQ(ratio_text(4.9e6), "4e6");
}

TEST(Rerun, QuotesTheKeyAndKeepsAnEarlierOnly) {
  RunResult run = failing_run();
  EXPECT_THAT(rerun_command(run, run.findings[0]),
              HasSubstr(" --only 'p0_short/auto/prefill/embed stage_parity(local)'"));
  run.rerun += " --only q";
  EXPECT_EQ(rerun_command(run, run.findings[0]), run.rerun);
}

}  // namespace
}  // namespace greta::reports
