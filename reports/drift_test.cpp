// Drift and bias from findings made by hand, and the way of a finding's rows through verdicts.json.
#include "reports/drift.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "reports/example_runs_test.hpp"
#include "reports/markdown.hpp"
#include "reports/terminal.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

using testing::HasSubstr;
using testing::Not;
constexpr double kInf = std::numeric_limits<double>::infinity();

probes::Finding chained(int layer, const std::string& phase, int first, std::vector<float> rows) {
  auto finding = example_finding("auto", phase, layer, layer < 0 ? "logits" : "ffn_residual",
                                 *std::max_element(rows.begin(), rows.end()));
  finding.mode = "chained";
  finding.first_position = first;
  finding.row_ratio = std::move(rows);
  return finding;
}

RunResult drifting_run() {
  RunResult run = passing_run();
  run.findings.push_back(chained(0, "prefill", 0, {0.125f, 0.25f, 0.0625f, 0.03125f, 0.5f}));
  run.findings.push_back(chained(1, "prefill", 0, {0.25f, 0.125f, 0.75f, 0.0625f, 0.5f}));
  run.findings.push_back(chained(1, "decode0", 4, {0.875f}));
  run.findings.push_back(chained(-1, "decode0", 4, {0.375f}));
  return run;
}

std::string text_of(const std::vector<Drift::Point>& points) { return points_text(points, 100); }

TEST(Drift, IsTheWorstByLayerAndByPosition) {
  const Drift drift = drift_of(drifting_run());
  EXPECT_EQ(text_of(drift.by_layer), "0 0.50, 1 0.88");
  EXPECT_EQ(drift.logits, 0.375);
  EXPECT_EQ(text_of(drift.by_position), "0 0.25, 1 0.25, 2-3 0.75, 4-7 0.88");
}

TEST(Drift, ARunWithoutChainedFindingsHasNone) {
  const Drift drift = drift_of(passing_run());
  EXPECT_TRUE(drift.empty());
  EXPECT_THAT(markdown_report(passing_run()), Not(HasSubstr("Drift")));
  EXPECT_THAT(terminal_report(passing_run(), {}), Not(HasSubstr("drift")));
}

TEST(Drift, NanAndInfinityAreTheWorst) {
  RunResult run = drifting_run();
  run.findings.push_back(chained(0, "decode0", 4, {std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(text_of(drift_of(run).by_layer), "0 inf, 1 0.88");
  EXPECT_THAT(text_of(drift_of(run).by_position), HasSubstr("4-7 inf"));
  run.findings.back().row_ratio[0] = std::nanf("");
  run.findings.push_back(chained(0, "decode0", 4, {0.5f}));
  EXPECT_THAT(text_of(drift_of(run).by_position), HasSubstr("4-7 nan"));
}

TEST(Drift, ManyPointsFoldToTheWorstOfRanges) {
  std::vector<Drift::Point> points;
  for (int layer = 0; layer < 32; ++layer) points.push_back({layer, layer, layer == 9 ? 0.75 : 0.25});
  EXPECT_EQ(points_text(points, 4), "0-7 0.25, 8-15 0.75, 16-23 0.25, 24-31 0.25");
  EXPECT_EQ(points_text({}, 4), "");
}

RunResult leaning_run(const std::vector<double>& z) {
  RunResult run = passing_run();
  run.findings.clear();
  for (const double one : z) {
    run.findings.push_back(example_finding("auto", "prefill", 0, "softmax", 0.5));
    run.findings.back().metrics.mae = 1e-6;
    run.findings.back().metrics.bias_z = one;
  }
  return run;
}

TEST(Bias, AddsUpOverTheRun) {
  auto run = leaning_run({2, 2, 2, 2});  // each unremarkable, together 8 / √4
  ASSERT_EQ(drift_of(run).bias.size(), 1u);
  EXPECT_EQ(drift_of(run).bias[0].z, 4);
  EXPECT_EQ(drift_of(run).bias[0].findings, 4);
  EXPECT_EQ(drift_of(leaning_run({2, -2, 2, -2})).bias[0].z, 0);
  run.findings[0].phase = "prefill_last";  // its row is prefill's
  EXPECT_EQ(drift_of(run).bias[0].findings, 3);
  run.phases = {"prefill_last"};
  EXPECT_EQ(drift_of(run).bias[0].findings, 4);
  run.findings[0].metrics.mae = 0;  // a copy has no error that could lean
  EXPECT_EQ(drift_of(run).bias[0].findings, 3);
}

TEST(Bias, NamesTheArmThatLeansMostAndTheStageThatDoesFirst) {
  auto run = leaning_run({1, -5, 2});
  run.findings[1].arm = "valu";
  run.findings[2].stage = "q";
  const auto bias = drift_of(run).bias;
  ASSERT_EQ(bias.size(), 2u);
  EXPECT_EQ(bias[0].stage, "softmax");
  EXPECT_EQ(bias[0].arm, "valu");
  EXPECT_EQ(bias[0].z, -5);
  EXPECT_EQ(bias[1].stage, "q");
  run.findings[2].metrics.bias_z = kInf;
  EXPECT_EQ(drift_of(run).bias[0].stage, "q");
  EXPECT_EQ(z_text(kInf), "+inf");
  EXPECT_EQ(z_text(-3.25), "-3.2");
}

TEST(Drift, IsInBothReports) {
  RunResult run = drifting_run();
  const auto leaning = leaning_run({3});
  run.findings.push_back(leaning.findings[0]);
  EXPECT_THAT(
      terminal_report(run, {}),
      HasSubstr(
          "  drift  after layer 0 0.50, 1 0.88; logits 0.38; at position 0 0.25, 1 0.25, 2-3 0.75, 4-7 0.88\n"
          "  bias   largest of 1 stages: softmax +3.0 (auto)\n"));
  EXPECT_THAT(markdown_report(run),
              HasSubstr("| after layer | 0 | 1 | logits |\n| --- | ---: | ---: | ---: |\n"
                        "| worst bound ratio | 0.50 | 0.88 | 0.38 |\n"));
  EXPECT_THAT(markdown_report(run), HasSubstr("| at position | 0 | 1 | 2-3 | 4-7 |\n"));
  EXPECT_THAT(markdown_report(run), HasSubstr("| `softmax` | +3.0 | auto | 1 |\n"));
}

TEST(Drift, RowsGoThroughVerdictsJson) {
  RunResult run = drifting_run();
  run.findings.back().row_ratio = {0.1f, std::numeric_limits<float>::infinity(), std::nanf("")};
  const std::string json = to_verdicts_json(run);
  const RunResult back = from_verdicts_json(json, "t");
  ASSERT_EQ(back.findings.size(), run.findings.size());
  for (size_t i = 0; i + 1 < run.findings.size(); ++i) {
    EXPECT_EQ(back.findings[i].row_ratio, run.findings[i].row_ratio);
    EXPECT_EQ(back.findings[i].first_position, run.findings[i].first_position);
  }
  const auto& rows = back.findings.back().row_ratio;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0], 0.1f);
  EXPECT_TRUE(std::isinf(rows[1]));
  EXPECT_TRUE(std::isnan(rows[2]));
  EXPECT_THAT(to_verdicts_json(passing_run()), Not(HasSubstr("row_ratio")));
}

}  // namespace
}  // namespace greta::reports
