// A conclusion says what the evidence bears, and no more.
#include "reports/conclusion.hpp"

#include <gmock/gmock.h>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> texts(const std::vector<Message>& messages) {
  std::vector<std::string> out;
  for (const auto& message : messages) out.push_back(message.text());
  return out;
}

// The failing arm of the example is what its suite expects.
RunResult expected_run() {
  RunResult run = failing_run();
  run.arms[1].expect = {.verdict = "fail", .first = "q"};
  run.status = conclude(run);
  return run;
}

TEST(Conclusion, OfAPassNamesItsLimits) {
  const Conclusion it = conclusion_of(passing_run());
  EXPECT_THAT(it.verdict.text(), HasSubstr("on this model, these prompts and this device"));
  EXPECT_THAT(texts(it.open),
              Contains(HasSubstr("stages that were not judged against their own inputs: attn_norm")));
  EXPECT_THAT(texts(it.open), Contains(HasSubstr("no call was repeated")));
  EXPECT_THAT(texts(it.excluded), Contains(HasSubstr("of embed, q, softmax, logits")));
}

TEST(Conclusion, AStageThatFailsAnywhereIsNotExcluded) {
  const Conclusion it = conclusion_of(failing_run());
  EXPECT_THAT(texts(it.excluded), Contains(HasSubstr("of embed, softmax")));
  EXPECT_THAT(texts(it.excluded), Each(Not(HasSubstr("logits"))));
  EXPECT_THAT(it.arms[1].text(), AllOf(HasSubstr("the first broken stage is q"), Not(HasSubstr("cause"))))
      << "nothing explained it";
}

TEST(Conclusion, OnlyALocalFindingBlamesItsStage) {
  RunResult run = failing_run();
  for (auto& finding : run.findings) finding.mode = "chained";
  EXPECT_THAT(conclusion_of(run).arms[1].text(),
              AllOf(HasSubstr("arm valu first fails at"), Not(HasSubstr("broken"))));
}

TEST(Conclusion, SaysWhichCausesAreProved) {
  RunResult run = explained_run();
  Conclusion it = conclusion_of(run);
  EXPECT_THAT(it.arms[1].text(), AllOf(HasSubstr("the cause of q is weight_layout=col"),
                                       HasSubstr("one of block_scale=neighbour, load_layout"),
                                       HasSubstr("logits is unexplained")));
  EXPECT_THAT(texts(it.excluded), Contains(HasSubstr("half_sum=f16 (ratio 12.5)")));
  EXPECT_THAT(texts(it.open), Contains("the cause of logits in arm valu"));
  EXPECT_THAT(texts(it.open), Contains(HasSubstr("nothing here to tell them by: tile_store=transposed")));
  run.explanations[0].observed = say("the same inputs gave two results: {}", "5 of 24");
  it = conclusion_of(run);
  EXPECT_THAT(it.arms[1].text(), AllOf(HasSubstr("fits what was observed of q and is not proved"),
                                       Not(HasSubstr("the cause of q"))));
}

TEST(Conclusion, AnArmThatIsMadeToFailDoesNotCondemnTheEngine) {
  const Conclusion it = conclusion_of(expected_run());
  EXPECT_EQ(it.verdict.text(), "Every arm came out as the suite expects: 1 pass, 1 fail, 0 have no verdict.");
  RunResult run = expected_run();
  run.arms[1].expect.first = "softmax";
  run.status = conclude(run);
  EXPECT_THAT(
      conclusion_of(run).verdict.text(),
      AllOf(HasSubstr("Arms that did not come out as the suite expects: 1."), Not(HasSubstr("declare"))));
}

TEST(Conclusion, WithoutAVerdictNothingIsExcluded) {
  for (const RunResult& run : {interrupted_run(), nan_run()}) {
    const Conclusion it = conclusion_of(run);
    EXPECT_THAT(it.verdict.text(), HasSubstr("There is no verdict"));
    EXPECT_THAT(it.excluded, IsEmpty());
    EXPECT_THAT(texts(it.arms), Contains(HasSubstr("has no verdict: ")));
  }
}

TEST(Conclusion, AControlExcludesOnlyWhereItHoldsInAllArms) {
  RunResult run = expected_run();
  EXPECT_THAT(texts(conclusion_of(run).excluded),
              Contains("that engine and reference read different models"));
  run.arms[1].expect = {.verdict = "invalid"};
  run.controls[1].status = probes::Status::invalid;
  run.status = conclude(run);
  EXPECT_EQ(run.status, probes::Status::pass);
  EXPECT_THAT(texts(conclusion_of(run).excluded), Each(Not(HasSubstr("different models"))));
}

TEST(Conclusion, NamesTheWindowsThatFiguresWereTakenFrom) {
  RunResult run = passing_run();
  EXPECT_THAT(texts(conclusion_of(run).measured), Contains("whole tensors: every element of each"));
  run.findings[0].figures = {{.name = "mae", .value = 1, .of = "dims 0-255"}};
  const auto measured = texts(conclusion_of(run).measured);
  EXPECT_THAT(measured, Contains(HasSubstr("for that part alone: dims 0-255")));
  EXPECT_THAT(measured, Each(Not(HasSubstr("every element"))));
}

}  // namespace
}  // namespace greta::reports
