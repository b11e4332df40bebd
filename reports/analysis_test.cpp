#include "reports/analysis.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

int64_t count_lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST(Analysis, SaysWhereItDivergesAndWhichSideIsWrong) {
  const std::string text = analysis_report(explained_run());
  EXPECT_THAT(text, AllOf(HasSubstr("GRETA Verify 0.1.0"), HasSubstr("mini.gguf (00112233445566ff)"),
                          HasSubstr("FAIL  acceptance"), HasSubstr("3 of 3 controls hold")));
  EXPECT_THAT(text,
              AllOf(HasSubstr("first divergence: p0_short/valu/decode0/layer_01/q stage_parity(local)"),
                    HasSubstr("wrong in decode0, right in prefill"), HasSubstr("q: "),
                    HasSubstr("weight_layout=col"), HasSubstr("--only 'p0_short/valu/decode0/layer_01/q")));
  EXPECT_THAT(text, HasSubstr("arm auto\n  no divergence"));
  EXPECT_LT(text.find("arm valu\n"), text.find("arm auto\n")) << "what fails comes first";
}

TEST(Analysis, ThePhasesAreHeldAgainstEachOther) {
  RunResult run = failing_run();
  for (const auto& [phase, mae] : {std::pair{"prefill", 1e-7}, std::pair{"decode0", 0.25}})
    for (auto& finding : run.findings)
      if (finding.arm == "valu" && finding.phase == phase && finding.stage == "q" && finding.layer == 1)
        finding.metrics.mae = mae;
  auto parity = example_finding("valu", "decode0", 1, "q", 12);
  parity.probe = "phase_parity";
  parity.mode = "";
  parity.metrics.mae = 0.625;
  run.findings.push_back(parity);
  const std::string text = analysis_report(run);
  EXPECT_THAT(text, AllOf(HasSubstr("prefill_last ↔ decode0"), HasSubstr("0.625")));
  EXPECT_THAT(text, testing::ContainsRegex("q +0.625 +1e-07 +0.25"));
}

TEST(Analysis, NoVerdictSaysWhy) {
  EXPECT_THAT(
      analysis_report(interrupted_run()),
      AllOf(HasSubstr("INVALID  acceptance"), HasSubstr("no verdict: the run ended early: disk full")));
}

TEST(Analysis, FitsATicket) {
  RunResult run = failing_run();
  for (int i = 0; i < 40; ++i) {
    const std::string arm = "arm" + std::to_string(i);
    run.arms.push_back({arm, probes::Status::fail, "", "unit=auto"});
    for (int prompt = 0; prompt < 9; ++prompt) {
      auto finding = example_finding(arm, "prefill", 0, "q", 0.5);
      finding.prompt = "p" + std::to_string(prompt);
      break_finding(finding, 3);
      run.findings.push_back(finding);
    }
  }
  const std::string text = analysis_report(run);
  EXPECT_LE(count_lines(text), static_cast<int64_t>(kAnalysisLines));
  EXPECT_GT(count_lines(text), 100);
  EXPECT_THAT(text, HasSubstr("left out, see report.md")) << "what is cut is said";
  EXPECT_THAT(analysis_report(failing_run()), Not(HasSubstr("left out")));
}

}  // namespace
}  // namespace greta::reports
