#include "suites/plan.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "datasets/error.hpp"

namespace greta::suites {
namespace {

using probes::Place;
using testing::HasSubstr;

const reference::Config kConfig = {.layers = 3,
                                   .embedding = 8,
                                   .heads = 4,
                                   .kv_heads = 2,
                                   .head_dim = 2,
                                   .feed_forward = 12,
                                   .vocabulary = 11,
                                   .context = 6};

Prompt prompt_of(size_t length) { return {fmt::format("p{}", length), "", std::vector<int32_t>(length, 1)}; }

Suite suite_of(std::vector<std::string> phases, std::vector<ProbeUse> uses,
               std::vector<std::string> prompts = {"a"}) {
  Suite suite;
  suite.prompts = std::move(prompts);
  suite.phases = std::move(phases);
  suite.probes = std::move(uses);
  suite.arms = {{.name = "auto"}};
  return suite;
}

Plan plan_of(const Suite& suite, size_t length, std::string_view only = "") {
  return make_plan(suite, kConfig, {prompt_of(length)}, {"token_embd.weight", "blk.0.attn_q.weight"}, only);
}

const ProbeUse kLocal{.use = "stage_parity"};

std::string refusal(const Suite& suite, size_t length, ExitCode code, std::string_view only = "") {
  try {
    plan_of(suite, length, only);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "accepted";
}

TEST(Plan, ListsEveryTensorWithItsShape) {
  const auto plan = plan_of(suite_of({"prefill"}, {kLocal}), 4);
  ASSERT_EQ(plan.cases.size(), 1u);
  const auto& item = plan.cases.front();
  const size_t all = 3 + 3 * (kStageCount - 3);
  EXPECT_EQ(item.expected.front().size(), all);
  EXPECT_EQ(item.tensors.size(), all) << "operands are stages, too";
  EXPECT_EQ(plan.findings, static_cast<int64_t>(all) + 2) << "and two weights";
  EXPECT_EQ(item.tensors.at({"prefill", 2, Stage::qk}), (std::vector<int64_t>{4, 4, 4}));
  EXPECT_EQ(item.tensors.at({"prefill", -1, Stage::logits}), (std::vector<int64_t>{4, 11}));
  EXPECT_TRUE(item.prefill);
  EXPECT_FALSE(item.decode);
  EXPECT_FALSE(item.chained);
}

// Fused attention leaves no scores: what is judged, and from what, is another list, and nothing else is.
TEST(Plan, AnArmWithFusedAttentionLacksThreeStages) {
  auto suite = suite_of({"prefill"}, {kLocal});
  suite.arms.push_back({.name = "fused"});
  suite.arms.back().set("attention", "fused");
  const auto plan = plan_of(suite, 4);
  ASSERT_EQ(plan.cases.size(), 2u);
  const auto &unfused = plan.cases[0], &fused = plan.cases[1];
  EXPECT_EQ(fused.expected.front().size() + 3 * 3, unfused.expected.front().size());
  EXPECT_EQ(fused.tensors.size() + 3 * 3, unfused.tensors.size());
  for (const Stage stage : {Stage::qk, Stage::softmax, Stage::pv}) {
    EXPECT_TRUE(unfused.tensors.contains({"prefill", 1, stage}));
    EXPECT_FALSE(fused.tensors.contains({"prefill", 1, stage})) << name_of(stage);
  }
  EXPECT_TRUE(fused.tensors.contains({"prefill", 1, Stage::attn_out}));
}

TEST(Plan, FusedAttentionIsJudgedFromQAndTheCaches) {
  auto suite = suite_of({"prefill"}, {{.use = "stage_parity", .stages = {"attn_out"}}});
  suite.arms.front().set("attention", "fused");
  const auto plan = plan_of(suite, 4);
  const auto& tensors = plan.cases.front().tensors;
  for (const Stage stage : {Stage::attn_out, Stage::q_rope, Stage::k_cache, Stage::v_cache})
    EXPECT_TRUE(tensors.contains({"prefill", 2, stage})) << name_of(stage);
  EXPECT_FALSE(tensors.contains({"prefill", 2, Stage::pv}));
  suite.arms.front().set("attention", "unfused");
  EXPECT_TRUE(plan_of(suite, 4).cases.front().tensors.contains({"prefill", 2, Stage::pv}));
}

TEST(Plan, AProbeThatAsksForWhatAnArmLacksIsAnError) {
  auto suite = suite_of({"prefill"}, {{.use = "stage_parity", .stages = {"q", "softmax"}}});
  suite.arms = {{.name = "unfused"}, {.name = "fused"}};
  suite.arms.back().set("attention", "fused");
  EXPECT_THAT(refusal(suite, 4, ExitCode::usage),
              testing::AllOf(HasSubstr("stage_parity asks for softmax"), HasSubstr("arm 'fused'"),
                             HasSubstr("attention=unfused")));
  suite.probes = {{.use = "v_layout"}};  // its own needs
  EXPECT_THAT(refusal(suite, 4, ExitCode::usage), HasSubstr("v_layout asks for pv"));
  suite.probes = {{.use = "stage_parity", .stages = {"q", "attn_out"}}};
  EXPECT_EQ(refusal(suite, 4, ExitCode::usage), "accepted");
}

TEST(Plan, ADecodeStepAloneBringsTheFillBehindIt) {
  const auto plan = plan_of(suite_of({"decode0"}, {kLocal}), 4);
  const auto& item = plan.cases.front();
  EXPECT_FALSE(item.prefill);
  EXPECT_TRUE(item.decode);
  EXPECT_EQ(item.decodes, 1);
  EXPECT_EQ(item.tensors.at({"fill_prefill", 1, Stage::k_rope}), (std::vector<int64_t>{3, 2, 2}));
  EXPECT_EQ(item.tensors.at({"decode0", 1, Stage::k_cache}), (std::vector<int64_t>{4, 2, 2}));
  EXPECT_EQ(item.tensors.at({"decode0", 1, Stage::softmax}), (std::vector<int64_t>{1, 4, 4}));
  EXPECT_FALSE(item.tensors.contains({"fill_prefill", 1, Stage::q}));
}

TEST(Plan, LaterStepsReadTheStepsBefore) {
  const auto plan = plan_of(suite_of({"decode2"}, {kLocal}), 4);
  const auto& item = plan.cases.front();
  EXPECT_EQ(item.decodes, 3);
  EXPECT_EQ(plan.positions, 6);
  EXPECT_EQ(item.tensors.at({"decode2", 0, Stage::k_cache}), (std::vector<int64_t>{6, 2, 2}));
  EXPECT_TRUE(item.tensors.contains({"decode0", 0, Stage::v}));
  EXPECT_TRUE(item.tensors.contains({"decode1", 0, Stage::k_rope}));
  EXPECT_FALSE(item.tensors.contains({"decode1", 0, Stage::q}));
}

TEST(Plan, OneTokenPromptsHaveBothPhasesAndNoFill) {
  const auto plan = plan_of(suite_of({"prefill", "decode0"}, {kLocal, {.use = "phase_parity"}}), 1);
  const auto& item = plan.cases.front();
  EXPECT_TRUE(item.prefill && item.decode && item.stepwise);
  for (const auto& [place, shape] : item.tensors)
    EXPECT_FALSE(place.phase.starts_with("fill_")) << place.text();
}

TEST(Plan, PhaseParityBringsThePhasesThatItCompares) {
  const auto plan = plan_of(suite_of({"prefill"}, {{.use = "phase_parity", .stages = {"q"}}}), 4);
  const auto& item = plan.cases.front();
  EXPECT_TRUE(item.prefill && item.decode && item.stepwise && item.chained);
  EXPECT_THAT(item.expected.front(),
              testing::UnorderedElementsAre(
                  Place{"decode0", 0, Stage::q}, Place{"decode0", 1, Stage::q}, Place{"decode0", 2, Stage::q},
                  Place{"decode0_stepwise", 0, Stage::q}, Place{"decode0_stepwise", 1, Stage::q},
                  Place{"decode0_stepwise", 2, Stage::q}));
  EXPECT_TRUE(item.tensors.contains({"prefill_last", 2, Stage::q}));
  EXPECT_TRUE(item.tensors.contains({"prefill", 2, Stage::q})) << "prefill_last is a row of it";
}

TEST(Plan, LayersAndStagesNarrowTheVerdictsNotTheirEvidence) {
  auto suite = suite_of({"prefill"}, {{.use = "stage_parity", .stages = {"attn_norm"}}});
  suite.layers = {2};
  const auto plan = plan_of(suite, 4);
  const auto& item = plan.cases.front();
  EXPECT_THAT(item.expected.front(), testing::ElementsAre(Place{"prefill", 2, Stage::attn_norm}));
  EXPECT_EQ(item.tensors.size(), 2u);
  EXPECT_TRUE(item.tensors.contains({"prefill", 1, Stage::ffn_residual})) << "what the norm is computed from";
}

TEST(Plan, RefusesWhatCannotRun) {
  const auto good = suite_of({"prefill", "decode0"}, {kLocal});
  EXPECT_EQ(refusal(good, 6, ExitCode::usage), "accepted") << "a prompt as long as the context";
  EXPECT_THAT(refusal(good, 7, ExitCode::bad_input),
              testing::AllOf(HasSubstr("7 tokens"), HasSubstr("holds 6")));
  EXPECT_THAT(refusal(good, 0, ExitCode::bad_input), HasSubstr("no tokens"));
  EXPECT_THAT(refusal(suite_of({"decode3"}, {kLocal}), 4, ExitCode::usage),
              HasSubstr("decode3 of prompt p4 is beyond"));
  EXPECT_THAT(
      refusal(suite_of({"prefill"}, {{.use = "tap_neutrality", .stages = {"q"}}}), 4, ExitCode::usage),
      HasSubstr("does not look at"));
  auto layers = good;
  layers.layers = {3};
  EXPECT_THAT(refusal(layers, 4, ExitCode::usage), HasSubstr("layer 3"));
  layers.layers = {-4};
  EXPECT_THAT(refusal(layers, 4, ExitCode::usage), HasSubstr("layer -4"));
  layers.layers = {2, -1};
  EXPECT_THAT(refusal(layers, 4, ExitCode::usage), HasSubstr("layers names layer -1 of 3 twice"));
  layers.layers = {7};
  layers.overridden["layers"] = "GRETA_TRACE_ATTN_LAYER";
  EXPECT_THAT(refusal(layers, 4, ExitCode::usage), HasSubstr("GRETA_TRACE_ATTN_LAYER: layer 7"));
  auto heads = suite_of({"decode0"}, {{.use = "v_layout", .options = {{"heads", "0,4"}}}});
  EXPECT_THAT(refusal(heads, 4, ExitCode::usage), HasSubstr("the model has heads 0 to 3"));
  heads.overridden["heads"] = "GRETA_TRACE_ATTN_HEAD";
  EXPECT_THAT(refusal(heads, 4, ExitCode::usage), testing::StartsWith("GRETA_TRACE_ATTN_HEAD: heads"));
  EXPECT_THAT(refusal(good, 4, ExitCode::usage, "nothing_like_it"), HasSubstr("'nothing_like_it'"));
}

TEST(Plan, LayersCountFromTheEnd) {
  auto suite = suite_of({"prefill_last", "decode0"}, {{.use = "v_layout"}});
  suite.layers = {-1};
  const auto plan = plan_of(suite, 4);
  for (const auto& place : plan.cases.front().expected.front()) EXPECT_EQ(place.layer, 2) << place.text();
}

// Whether a wrong cache holds layer 0's rows can be asked whatever layers the suite looks at.
TEST(Plan, ACacheComesWithWhatLayerZeroWrote) {
  auto suite = suite_of({"decode0"}, {{.use = "stage_parity", .stages = {"v_cache"}}});
  suite.layers = {-1};
  const auto with = plan_of(suite, 4).cases.front();
  for (const char* phase : {"fill_prefill", "decode0"})
    EXPECT_TRUE(with.tensors.contains(Place{phase, 0, Stage::v})) << phase;
  suite.probes.front().stages = {"q"};
  EXPECT_FALSE(plan_of(suite, 4).cases.front().tensors.contains(Place{"decode0", 0, Stage::v}));
}

TEST(Plan, TheChainedReferenceGoesNoFurtherThanItIsAsked) {
  auto suite = suite_of({"decode0"}, {{.use = "phase_parity", .stages = {"q"}}});
  suite.layers = {1};
  EXPECT_EQ(plan_of(suite, 4).cases.front().chained_steps, 2) << "layers 0 and 1";
  suite.probes.front().stages = {"q", "logits"};
  EXPECT_EQ(plan_of(suite, 4).cases.front().chained_steps, 4) << "all";
}

TEST(Plan, OptionsInTheKeyTellTwoUsesApart) {
  auto suite = suite_of({"decode0"}, {{.use = "window_hash", .stages = {"q"}, .options = {{"dims", "1/16"}}},
                                      {.use = "window_hash", .stages = {"q"}}});
  const auto plan = plan_of(suite, 4, "window_hash(1/16)");
  EXPECT_EQ(plan.probes[0].mode, "1/16");
  EXPECT_EQ(plan.probes[1].mode, "256");
  EXPECT_EQ(plan.findings, 3);
}

TEST(Plan, PhasesIfRoomGiveWay) {
  auto suite = suite_of({"decode0"}, {kLocal});
  suite.phases_if_room = {"decode1"};
  EXPECT_EQ(plan_of(suite, 5).cases.front().decodes, 2);
  EXPECT_EQ(plan_of(suite, 6).cases.front().decodes, 1);
}

TEST(Plan, OnlyKeepsWhatMatches) {
  const auto suite = suite_of({"prefill", "decode0"}, {kLocal, {.use = "finite"}});
  const auto one = plan_of(suite, 4, "p4/auto/decode0/layer_01/softmax stage_parity(local)");
  EXPECT_EQ(one.findings, 1);
  EXPECT_FALSE(one.cases.front().prefill) << "nothing else runs";
  EXPECT_EQ(plan_of(suite, 4, "*layer_0?/softmax finite*").findings, 6);
  EXPECT_EQ(plan_of(suite, 4, "weight/token_embd").findings, 1);
  EXPECT_TRUE(plan_of(suite, 4, "weight/token_embd").cases.empty());
}

TEST(Plan, ArmsMayTakeSomePromptsOnly) {
  auto suite = suite_of({"prefill"}, {{.use = "finite"}}, {"a", "b"});
  suite.arms = {{.name = "all"}, {.name = "one", .prompts = {"b"}}};
  const std::vector<Prompt> prompts = {prompt_of(2), prompt_of(3)};
  EXPECT_EQ(make_plan(suite, kConfig, prompts, {}, "").cases.size(), 3u);
  suite.prompts = {"c", "d"};  // the command line's prompts replace the suite's
  EXPECT_EQ(make_plan(suite, kConfig, prompts, {}, "").cases.size(), 4u)
      << "then every arm takes all of them";
}

}  // namespace
}  // namespace greta::suites
