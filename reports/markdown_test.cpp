// report.md: figures in tables, and what is folded.
#include "reports/markdown.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Three findings with the figures of B3.25, one of them by head.
RunResult figures_run() {
  RunResult run = passing_run();
  int row = 0;
  for (auto& finding : run.findings) {
    if (finding.stage != "softmax" || finding.phase != "decode0" || finding.arm != "auto") continue;
    for (const char* head : {"head 0", "head 1"})
      finding.figures.push_back({.name = "mae_row", .value = 0.5 * ++row, .of = head});
    finding.figures.push_back({.name = "v_layout_best", .text = "neither|nor", .of = "head 1"});
  }
  return run;
}

TEST(MarkdownFigures, ARowForEachPartAColumnForEachName) {
  EXPECT_THAT(markdown_report(figures_run()),
              HasSubstr("### Figures of stage\\_parity (local), phase decode0, arm auto\n\n"
                        "| prompt | layer | part | mae\\_row | v\\_layout\\_best |\n"
                        "| --- | --- | --- | ---: | ---: |\n"
                        "| p0\\_short | 0 | head 0 | 0.5 | · |\n| p0\\_short | 0 | head 1 | 1 | neither\\|nor |\n"
                        "| p0\\_short | 1 | head 0 | 1.5 | · |\n| p0\\_short | 1 | head 1 | 2 | neither\\|nor |\n"));
  EXPECT_THAT(markdown_report(passing_run()), Not(HasSubstr("Figures of")));
  EXPECT_THAT(markdown_report(figures_run(), Language::spanish),
              AllOf(HasSubstr("### Cifras de stage"), HasSubstr("| prompt | capa | parte | mae\\_row |")));
}

TEST(MarkdownFigures, ManyRowsAreCounted) {
  RunResult run = figures_run();
  for (int i = 0; i < 200; ++i)
    run.findings[0].figures.push_back({.name = "mae", .value = 1, .of = fmt::format("head {}", i)});
  EXPECT_THAT(markdown_report(run),
              AllOf(HasSubstr("| head 100 |"), HasSubstr("84 more rows are in verdicts.json.")));
}

TEST(Markdown, FoldsWhatPassesAndKeepsWhatDoesNot) {
  RunResult run = failing_run();
  for (int i = 0; i < 50; ++i) {
    auto finding = example_finding("auto", "prefill", 0, "q", 0.5);
    finding.prompt = fmt::format("p{}", i);
    run.findings.push_back(finding);
    finding.stage = "softmax";
    run.findings.push_back(finding);
  }
  const std::string text = markdown_report(run);
  EXPECT_THAT(text,
              AllOf(HasSubstr("#### worst of the 53 cases (prompt, arm, phase) that pass"),
                    HasSubstr("#### arm `valu`, p0\\_short decode0"), Not(HasSubstr("#### arm `auto`"))));
}

TEST(Markdown, ManyTablesThatDoNotPassAreCounted) {
  RunResult run = passing_run();
  for (int i = 0; i < 40; ++i)
    for (const char* stage : {"q", "softmax"}) {
      auto finding = example_finding("valu", "prefill", 0, stage, 0.5);
      finding.prompt = fmt::format("p{}", i);
      break_finding(finding, 7);
      run.findings.push_back(finding);
    }
  EXPECT_THAT(markdown_report(run), AllOf(HasSubstr("#### arm `valu`, p29 prefill"),
                                          HasSubstr("10 more cases that do not pass are in verdicts.json")));
}

TEST(Markdown, SaysWhetherWhatWasExpectedCame) {
  RunResult run = failing_run();
  run.arms[1].expect = {.verdict = "fail", .first = "q"};
  run.status = conclude(run);
  EXPECT_THAT(markdown_report(run),
              AllOf(HasSubstr("| FAIL | fail, first at q: came so |"), HasSubstr("None is needed")));
  EXPECT_THAT(markdown_report(run, Language::spanish), HasSubstr("| FALLA | fail, primero en q: así fue |"));
  run.arms[1].expect.first = "k";
  run.status = conclude(run);
  EXPECT_THAT(markdown_report(run), HasSubstr("**expected fail, first at k; came fail, first at q**"));
}

TEST(Markdown, TheControlOfManyArmsIsOneRow) {
  EXPECT_THAT(markdown_report(passing_run()), HasSubstr("| model | `auto`, `valu` | yes |"));
  RunResult run = passing_run();
  run.controls[1].status = probes::Status::invalid;
  EXPECT_THAT(markdown_report(run),
              AllOf(HasSubstr("| model | `auto` | yes |"), HasSubstr("| model | `valu` | **no** |")));
}

}  // namespace
}  // namespace greta::reports
