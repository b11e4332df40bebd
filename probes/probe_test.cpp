// The frame around the probes: registry, options, and what becomes of missing, short, duplicate and misplaced
// data.
#include "probes/probe.hpp"

#include <gmock/gmock.h>

#include "datasets/error.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;

TEST(Registry, HoldsTheSixProbesWithTheirDocs) {
  std::vector<std::string> names;
  for (const auto* entry : registered_probes()) {
    names.push_back(entry->name);
    EXPECT_FALSE(entry->doc.empty()) << entry->name;
  }
  EXPECT_THAT(names, testing::IsSupersetOf({"determinism", "finite", "phase_parity", "stage_parity",
                                            "tap_neutrality", "top1_coherence"}));
}

TEST(Registry, UnknownNamesAndOptions) {
  const auto message = [](const auto& act) -> std::string {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message([] { find_probe("finit"); }), HasSubstr("'finite'"));
  const auto& parity = find_probe("stage_parity");
  EXPECT_THAT(message([&] { complete_options(parity, {{"moed", "local"}}); }), HasSubstr("'mode'"));
  EXPECT_THAT(message([&] { complete_options(parity, {{"mode", "chain"}}); }), HasSubstr("'chained'"));
  EXPECT_EQ(complete_options(parity, {}).at("mode"), "local");
}

struct JudgeTest : testing::Test {
  Judge judge{"p", "", "prompt", "arm"};
  const Place place{"prefill", 2, Stage::q};
};

TEST_F(JudgeTest, NothingComparedIsInvalid) {
  judge(place, [](Finding&) {});
  const auto finding = only(judge.take());
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_EQ(finding.message.text(), "nothing was compared");
}

TEST_F(JudgeTest, SeveralAtOnceStandInTheirOrderAndFailAlone) {
  constexpr int64_t kLarge = int64_t{1} << 24;
  std::vector<Judge::Sized> places;
  for (int layer = 0; layer < 40; ++layer)
    places.push_back({{"prefill", layer, Stage::q},
                      layer % 7 == 0   ? 3 * kLarge
                      : layer % 3 == 0 ? kLarge
                                       : 10});
  judge({"prefill", 99, Stage::k}, [](Finding& finding) { finding.metrics.count = 1; });
  judge.together(places, [](const Place& at, Finding& finding) {
    finding.metrics.count = 100 + at.layer;
    if (at.layer == 17) throw Missing(say("q is not there"));
  });
  EXPECT_EQ(judge.made(), 41);
  const auto found = judge.take();
  ASSERT_EQ(found.size(), 41u);
  EXPECT_EQ(found[0].layer, 99);
  for (int layer = 0; layer < 40; ++layer) {
    const auto& finding = found[static_cast<size_t>(layer) + 1];
    EXPECT_EQ(finding.layer, layer);
    EXPECT_EQ(finding.status, layer == 17 ? Status::invalid : Status::pass);
    EXPECT_EQ(finding.metrics.count, layer == 17 ? 0 : 100 + layer);
  }
}

TEST_F(JudgeTest, WhatIsThrownIsInvalidAndNamed) {
  judge(place, [](Finding& finding) {
    finding.status = Status::pass;
    finding.metrics.count = 5;
    throw Missing(say("q is not there"));
  });
  const auto finding = only(judge.take());
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_EQ(finding.metrics.count, 0);
  EXPECT_EQ(finding.message.text(), "q is not there");
}

TEST_F(JudgeTest, PassAndFailFollowFromTheMetrics) {
  const std::vector<float> actual = {1, 2, 3};
  const std::vector<double> close = {1, 2, 3.05}, off = {1, 2, 3.5}, bound = {0.1, 0.1, 0.1};
  judge(place, [&](Finding& finding) { finding.metrics = compare(actual, close, bound, bound); });
  EXPECT_EQ(only(judge.take()).status, Status::pass);
  judge(place, [&](Finding& finding) {
    finding.shape = {3};
    finding.metrics = compare(actual, off, bound, bound);
  });
  const auto finding = only(judge.take());
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_THAT(finding.message.text(), HasSubstr("1 of 3 elements are out of bound; worst at [2]"));
}

struct PhaseTest : testing::Test {
  PhaseTest() : phase("prefill", {{1, 2, 3}, 0}, kSmall) {}
  Phase phase;
  const std::vector<float> values = std::vector<float>(24, 1.0f);
  std::string missing(int layer, Stage stage) const {
    try {
      phase.tap(layer, stage);
    } catch (const Missing& why) {
      return why.what();
    }
    return "there";
  }
};

TEST_F(PhaseTest, GivesWhatCame) {
  phase.put(1, Stage::attn_norm, tap_of(phase, Stage::attn_norm, values));
  EXPECT_EQ(missing(1, Stage::attn_norm), "there");
}

TEST_F(PhaseTest, NamesWhatDidNotCome) {
  EXPECT_EQ(missing(1, Stage::attn_norm), "prefill/layer_01/attn_norm did not come from the engine");
}

TEST_F(PhaseTest, RefusesDuplicates) {
  for (int i = 0; i < 2; ++i) phase.put(1, Stage::attn_norm, tap_of(phase, Stage::attn_norm, values));
  EXPECT_THAT(missing(1, Stage::attn_norm), HasSubstr("came twice"));
}

TEST_F(PhaseTest, RefusesShortTensorsAndOtherPositions) {
  Tap tap = tap_of(phase, Stage::attn_norm, values);
  tap.tensor = std::make_shared<const Tensor>(tap.tensor->rows(0, 2));
  phase.put(0, Stage::attn_norm, tap);
  EXPECT_THAT(missing(0, Stage::attn_norm), HasSubstr("has shape [2, 8], the plan says [3, 8]"));
  tap = tap_of(phase, Stage::attn_norm, values);
  tap.positions.back() += 1;
  phase.put(1, Stage::attn_norm, tap);
  EXPECT_THAT(missing(1, Stage::attn_norm), HasSubstr("positions"));
}

TEST_F(PhaseTest, AHistoryOperandStartsWithTheRowsBefore) {
  StageSizes one = kSmall;
  one.S = 1;
  one.T = 4;
  Phase step("decode0", {{7}, 3}, one);
  step.before.push_back(&phase);
  std::vector<float> rows(12), last = {100, 101, 102, 103};
  std::iota(rows.begin(), rows.end(), 0.0f);
  phase.put(0, Stage::k_rope, tap_of(phase, Stage::k_rope, rows));
  step.put(0, Stage::k_rope, tap_of(step, Stage::k_rope, last));
  const reference::Config config{.layers = 1};
  const auto all = operand(step, config, {Stage::k_rope, 0, true});
  ASSERT_EQ(all.rows(), 4);
  ASSERT_EQ(all.cols(), 4);
  EXPECT_EQ(all(2, 3), 11);
  EXPECT_EQ(all(3, 1), 101);
  EXPECT_EQ(operand(step, config, {Stage::k_rope, 0, false}).rows(), 1);
}

}  // namespace
}  // namespace greta::probes
