#include "reports/github.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

const SuitePlace kPlace{"suites/acceptance.toml", {{"auto", 7}, {"valu", 11}}};

std::vector<std::string> lines(const RunResult& run, const std::string& prefix) {
  std::istringstream text(github_annotations(run, kPlace, Language::english));
  std::vector<std::string> out;
  for (std::string line; std::getline(text, line);) {
    EXPECT_THAT(line, StartsWith("::")) << "a line that GitHub would not read";
    if (line.starts_with(prefix)) out.push_back(line);
  }
  return out;
}

// GitHub's toolkit writes commands so, and its runner reads them back.
TEST(Github, EscapesAsItsRunnerDecodes) {
  EXPECT_EQ(github_data("100%\r\nat a:b, c"), "100%25%0D%0Aat a:b, c");
  EXPECT_EQ(github_property("100%\r\nat a:b, c"), "100%25%0D%0Aat a%3Ab%2C c");
}

TEST(Github, AFailureIsAnErrorAtItsArm) {
  const auto errors = lines(failing_run(), "::error ");
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_THAT(errors[0], AllOf(StartsWith("::error title=FAIL valu%3A p0_short decode0 layer 1 q,"
                                          "file=suites/acceptance.toml,line=11::"),
                               HasSubstr("5 of 24 elements are out of bound; worst at "), HasSubstr("%0Aworst element: "),
                               HasSubstr("%0Arerun: greta run acceptance --model mini.gguf --only")));
  EXPECT_THAT(
      lines(failing_run(), "::notice "),
      ElementsAre(AllOf(StartsWith("::notice title=greta FAIL%3A acceptance::"), HasSubstr("2 fail"))));
}

TEST(Github, APassIsANoticeAlone) {
  EXPECT_THAT(lines(passing_run(), "::error"), IsEmpty());
  EXPECT_THAT(lines(passing_run(), "::notice title=greta PASS%3A acceptance::"), SizeIs(1));
}

TEST(Github, NoVerdictIsAnErrorForEachReason) {
  const auto errors = lines(interrupted_run(), "::error ");
  ASSERT_FALSE(errors.empty());
  EXPECT_THAT(errors[0], AllOf(HasSubstr("title=INVALID%3A no verdict"), HasSubstr("line=1::"),
                               EndsWith("the run ended early: disk full: trace.h5")));
}

TEST(Github, WhatWasPlantedIsNoError) {
  RunResult run = explained_run();
  run.arms[1].expect = {"fail", "q", "weight_layout=col", {}};
  run.status = conclude(run);
  EXPECT_THAT(lines(run, "::error"), IsEmpty());
  run.arms[1].expect.first = "k";
  EXPECT_THAT(lines(run, "::error"),
              ElementsAre(AllOf(HasSubstr("not what the suite expects"), HasSubstr("line=11::"),
                                HasSubstr("came fail, first at q"))));
}

// GitHub shows ten errors a step: the first of each arm comes before the second of any, and the rest is
// counted.
TEST(Github, TenErrorsAtMost) {
  RunResult run = passing_run();
  run.findings.clear();
  for (const std::string arm : {"auto", "valu"})
    for (int prompt = 0; prompt < 15; ++prompt) {
      auto finding = example_finding(arm, "prefill", 0, "q", 0.5);
      finding.prompt = "p" + std::to_string(prompt);
      break_finding(finding, 3);
      run.findings.push_back(finding);
    }
  run.compared = run.planned = 30;
  run.status = conclude(run);
  const auto errors = lines(run, "::error");
  ASSERT_THAT(errors, SizeIs(kGithubErrors));
  EXPECT_THAT(errors[0], HasSubstr("auto"));
  EXPECT_THAT(errors[1], HasSubstr("valu"));
  EXPECT_THAT(lines(run, "::notice").at(0), HasSubstr("20 more annotations are left out"));
}

TEST(Github, TheSummaryIsMarkdown) {
  const std::string text = github_summary(explained_run(), Language::english);
  EXPECT_THAT(text, AllOf(StartsWith("## greta FAIL: acceptance\n"), HasSubstr("| `valu` | FAIL |"),
                          HasSubstr("weight_layout=col"), HasSubstr("00112233445566ff"),
                          HasSubstr("greta run acceptance --model mini.gguf")));
  EXPECT_THAT(github_summary(passing_run(), Language::english), Not(HasSubstr("FAIL")));
  EXPECT_LT(text.size(), 64u << 10);
}

}  // namespace
}  // namespace greta::reports
