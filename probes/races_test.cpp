#include "probes/races.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/stage.hpp"
#include "probes/top1_coherence.hpp"

namespace greta::probes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Finding of(const std::string& probe, const std::string& phase, int layer, Stage stage, Status status) {
  return {.probe = probe,
          .prompt = "p",
          .arm = "auto",
          .phase = phase,
          .layer = layer,
          .stage = std::string(name_of(stage)),
          .status = status,
          .message = status == Status::pass ? Message{} : verbatim("5 of 24 values differ")};
}

// A whole repeat of one layer, in which `other` and nothing else came out differently.
std::vector<Finding> repeat(const std::string& phase, const std::vector<Stage>& other) {
  std::vector<Finding> out;
  for (const auto& row : stages()) {
    const bool differs = std::find(other.begin(), other.end(), row.stage) != other.end();
    out.push_back(
        of("determinism", phase, row.per_layer ? 0 : -1, row.stage, differs ? Status::fail : Status::pass));
  }
  return out;
}

TEST(Races, TheFirstStageIsBlamedAndTheRestFollows) {
  const auto found = explain_races(repeat("prefill", {Stage::attn_norm, Stage::q, Stage::q_rope}), "auto");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].stage, "attn_norm");
  EXPECT_EQ(found[0].answer, Answer::explained);
  ASSERT_THAT(found[0].fitting, SizeIs(1));
  EXPECT_EQ(found[0].fitting[0].text(), "barrier=missing");
  EXPECT_THAT(found[0].consequences, ElementsAre("p/auto/prefill/layer_00/q determinism",
                                                 "p/auto/prefill/layer_00/q_rope determinism"));
  EXPECT_THAT(found[0].conclusion().text(),
              HasSubstr("the same inputs gave two results: 5 of 24 values differ"));
  EXPECT_THAT(found[0].conclusion().text(), HasSubstr("would look the same"));
}

TEST(Races, TwoOfThemAreTwo) {
  const auto found = explain_races(repeat("prefill", {Stage::attn_norm, Stage::ffn_norm}), "auto");
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[1].stage, "ffn_norm");
}

TEST(Races, AStageWithoutABarrierIsUnexplained) {
  const auto found = explain_races(repeat("prefill", {Stage::softmax}), "auto");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].answer, Answer::unexplained);
  EXPECT_THAT(found[0].fitting, IsEmpty());
}

// Rows that an earlier call wrote were not compared: the cache may differ because of them.
TEST(Races, ACacheIsBlamedOnlyWhenNobodyElseIs) {
  const auto both = explain_races(repeat("decode0", {Stage::attn_norm, Stage::v_cache}), "auto");
  ASSERT_THAT(both, SizeIs(1));
  EXPECT_EQ(both[0].stage, "attn_norm");
  const auto alone = explain_races(repeat("decode0", {Stage::v_cache, Stage::pv}), "auto");
  ASSERT_THAT(alone, SizeIs(1));
  EXPECT_EQ(alone[0].stage, "v_cache");
  EXPECT_EQ(alone[0].answer, Answer::unexplained);
  EXPECT_THAT(alone[0].conclusion().text(), HasSubstr("not all compared"));
}

TEST(Races, OtherArmsAndPassesSayNothing) {
  EXPECT_THAT(explain_races(repeat("prefill", {}), "auto"), IsEmpty());
  EXPECT_THAT(explain_races(repeat("prefill", {Stage::q}), "other"), IsEmpty());
}

TEST(Copies, AreNamedByWhatTheCallerGot) {
  auto wrong = of("top1_coherence", "decode0", -1, Stage::logits, Status::fail);
  wrong.message = not_as_written();
  const auto taps = of("tap_neutrality", "decode0", -1, Stage::logits, Status::fail);
  const std::vector<Finding> findings = {wrong, taps};
  const auto found = explain_copies(findings, "auto");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].fitting[0].text(), "host_copy=not_awaited");
  EXPECT_THAT(found[0].consequences, ElementsAre(taps.key()));
  EXPECT_THAT(found[0].conclusion().text(), HasSubstr("not proved"));
  // Another complaint of the same probe is no copy.
  wrong.message = verbatim("the argmax kernel says token 3, the largest logit is token 4");
  const std::vector<Finding> other = {wrong};
  EXPECT_THAT(explain_copies(other, "auto"), IsEmpty());
}

}  // namespace
}  // namespace greta::probes
