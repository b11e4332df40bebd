#include "reports/run_result.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using probes::Status;

TEST(Verdict, PassNeedsEveryPlannedTensor) {
  RunResult run = passing_run();
  EXPECT_EQ(conclude(run), Status::pass);
  EXPECT_EQ(run.exit_code(), ExitCode::pass);
  EXPECT_TRUE(invalid_reasons(run).empty());
  run.compared -= 1;
  EXPECT_EQ(run.exit_code(), ExitCode::invalid);
  const auto reasons = invalid_reasons(run);
  ASSERT_EQ(reasons.size(), 1u);
  EXPECT_EQ(reasons.front().text(), "1 of 26 planned tensors were not compared");
}

TEST(Verdict, NothingComparedIsNeverAPass) {
  RunResult run;
  run.status = Status::pass;
  EXPECT_EQ(run.exit_code(), ExitCode::invalid) << "no plan, no findings";
  run = passing_run();
  run.compared = run.planned = 0;
  EXPECT_EQ(run.exit_code(), ExitCode::invalid) << "findings, but nothing compared";
  run = passing_run();
  run.findings.clear();
  EXPECT_EQ(run.exit_code(), ExitCode::invalid) << "counts, but no findings";
  EXPECT_EQ(conclude_arm(run, "auto"), Status::invalid);
}

TEST(Verdict, FailAndInvalidOutweighPass) {
  EXPECT_EQ(failing_run().exit_code(), ExitCode::fail);
  EXPECT_EQ(conclude_arm(failing_run(), "auto"), Status::pass);
  EXPECT_EQ(conclude_arm(failing_run(), "valu"), Status::fail);
  RunResult run = failing_run();
  run.findings[0].status = Status::invalid;
  run.findings[0].message = verbatim("the tensor did not come");
  EXPECT_EQ(run.exit_code(), ExitCode::invalid);
  EXPECT_EQ(invalid_reasons(run).front().text(),
            "p0_short/auto/prefill/embed stage_parity(local): the tensor did not come");
}

TEST(Verdict, TheRunnersOwnStatusCounts) {
  RunResult run = passing_run();
  run.status = Status::invalid;
  EXPECT_EQ(run.exit_code(), ExitCode::invalid);
  EXPECT_EQ(invalid_reasons(run).size(), 1u);
}

TEST(Verdict, InterruptedIsInvalid) {
  EXPECT_EQ(interrupted_run().exit_code(), ExitCode::invalid);
  EXPECT_EQ(invalid_reasons(interrupted_run()).front().text(), "the run ended early: disk full: trace.h5");
}

TEST(Verdict, APassOverNaNOrOverTheBoundContradictsItself) {
  EXPECT_EQ(nan_run().exit_code(), ExitCode::invalid);
  probes::Finding finding = example_finding("auto", "prefill", 0, "q", 0.5);
  EXPECT_EQ(status_of(finding), Status::pass);
  for (const double ratio :
       {1.0000001, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    finding.metrics.bound_ratio = ratio;
    EXPECT_EQ(status_of(finding), Status::invalid) << ratio;
  }
  finding.status = Status::fail;
  EXPECT_EQ(status_of(finding), Status::fail) << "a fail over NaN is a fail";
}

}  // namespace
}  // namespace greta::reports
