// finite, determinism, tap_neutrality: each catches its planted fault and lets a harmless change pass.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct BitwiseProbes : testing::Test {
  BitwiseProbes() : seed(test_seed()), random(seed), phase(evidence.add("prefill", {{1, 2, 3}, 0}, kSmall)) {
    RecordProperty("seed", std::to_string(seed));
    evidence.prompt = "p";
    evidence.arm = "auto";
  }
  std::vector<float> values(Stage stage) {
    return random_values(static_cast<size_t>(elements(shape_of(stage, kSmall))), random);
  }
  size_t any(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random); }

  uint64_t seed;
  std::mt19937_64 random;
  Evidence evidence;
  Phase& phase;
};

TEST_F(BitwiseProbes, FiniteCatchesNanAndInfinityAtAnyPlace) {
  ProbeRun probe("finite");
  for (const float bad : {kNan, kInf, -kInf})
    for (const Stage stage : {Stage::q, Stage::softmax, Stage::logits, Stage::v_cache}) {
      Evidence other;
      Phase& there = other.add("prefill", {{1, 2, 3}, 0}, kSmall);
      auto x = values(stage);
      const size_t at = any(x.size());
      x[at] = bad;
      there.put(0, stage, tap_of(there, stage, x));
      const auto finding = only(probe.layer(other, there, 0, {stage}));
      EXPECT_EQ(finding.status, Status::fail) << name_of(stage) << " seed " << seed;
      EXPECT_EQ(finding.metrics.worst, static_cast<int64_t>(at));
    }
}

TEST_F(BitwiseProbes, FiniteKnowsTheMask) {
  ProbeRun probe("finite");
  auto scores = values(Stage::qk);  // [S, H, T]
  for (int64_t s = 0; s < 3; ++s)
    for (int64_t h = 0; h < 4; ++h)
      for (int64_t t = s + 1; t < 3; ++t) scores[static_cast<size_t>((s * 4 + h) * 3 + t)] = -kInf;
  phase.put(0, Stage::qk, tap_of(phase, Stage::qk, scores));
  EXPECT_EQ(only(probe.layer(evidence, phase, 0, {Stage::qk})).status, Status::pass);

  scores[(1 * 4 + 2) * 3 + 1] = -kInf;  // a key that this query must see
  phase.put(1, Stage::qk, tap_of(phase, Stage::qk, scores));
  const auto finding = only(probe.layer(evidence, phase, 1, {Stage::qk}));
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_THAT(finding.message.text(), HasSubstr("[1, 2, 1]"));
}

TEST_F(BitwiseProbes, MissingDataIsNoPass) {
  for (const std::string name : {"finite", "determinism"}) {
    const auto finding = only(ProbeRun(name).layer(evidence, phase, 0, {Stage::q}));
    EXPECT_EQ(finding.status, Status::invalid) << name;
    EXPECT_THAT(finding.message.text(), HasSubstr("prefill/layer_00/q did not come"));
  }
  phase.put(0, Stage::q, tap_of(phase, Stage::q, values(Stage::q)));
  const auto finding = only(ProbeRun("determinism").layer(evidence, phase, 0, {Stage::q}));
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_THAT(finding.message.text(), HasSubstr("of the repeated run did not come"));
}

TEST_F(BitwiseProbes, DeterminismCatchesOneBit) {
  ProbeRun probe("determinism");
  evidence.repeat_note = say("the lanes in another order (order_seed {})", 2);
  auto x = values(Stage::q);
  phase.put(0, Stage::q, tap_of(phase, Stage::q, x));
  phase.put(0, Stage::q, tap_of(phase, Stage::q, x), Run::repeat);
  EXPECT_EQ(only(probe.layer(evidence, phase, 0, {Stage::q})).status, Status::pass);

  phase.put(1, Stage::q, tap_of(phase, Stage::q, x));
  const size_t at = any(x.size());
  x[at] = std::nextafter(x[at], kInf);
  phase.put(1, Stage::q, tap_of(phase, Stage::q, x), Run::repeat);
  const auto finding = only(probe.layer(evidence, phase, 1, {Stage::q}));
  EXPECT_EQ(finding.status, Status::fail) << "seed " << seed;
  EXPECT_EQ(finding.metrics.worst, static_cast<int64_t>(at));
  EXPECT_THAT(finding.message.text(), testing::AllOf(HasSubstr("order_seed 2"), HasSubstr("barrier")));
}

TEST_F(BitwiseProbes, DeterminismTakesTheSameNanForTheSame) {
  auto x = values(Stage::q);
  x[0] = kNan;
  phase.put(0, Stage::q, tap_of(phase, Stage::q, x));
  phase.put(0, Stage::q, tap_of(phase, Stage::q, x), Run::repeat);
  EXPECT_EQ(only(ProbeRun("determinism").layer(evidence, phase, 0, {Stage::q})).status, Status::pass);
}

TEST_F(BitwiseProbes, DeterminismOfAnotherKernelIsNoVerdict) {
  const auto x = values(Stage::q);
  phase.put(0, Stage::q, tap_of(phase, Stage::q, x));
  Tap other = tap_of(phase, Stage::q, x);
  other.kernel = "another";
  phase.put(0, Stage::q, other, Run::repeat);
  EXPECT_EQ(only(ProbeRun("determinism").layer(evidence, phase, 0, {Stage::q})).status, Status::invalid);
}

TEST_F(BitwiseProbes, TapNeutralityCatchesOneBitAndAnotherToken) {
  ProbeRun probe("tap_neutrality");
  const std::vector<Place> places = {{"prefill", -1, Stage::logits}};
  EXPECT_EQ(only(probe.whole_case(evidence, places)).status, Status::invalid);
  const auto logits = random_values(11, random);
  phase.outcome = {logits, 4};
  EXPECT_EQ(only(probe.whole_case(evidence, places)).status, Status::invalid)
      << "the untapped run is missing";
  phase.untapped = phase.outcome;
  EXPECT_EQ(only(probe.whole_case(evidence, places)).status, Status::pass);

  const size_t at = any(logits.size());
  phase.untapped->logits[at] = std::nextafter(logits[at], kInf);
  const auto finding = only(probe.whole_case(evidence, places));
  EXPECT_EQ(finding.status, Status::fail) << "seed " << seed;
  EXPECT_EQ(finding.metrics.worst, static_cast<int64_t>(at));
  phase.untapped = {logits, 5};
  EXPECT_EQ(only(probe.whole_case(evidence, places)).status, Status::fail);
  phase.untapped = {std::vector<float>(10), 4};
  EXPECT_EQ(only(probe.whole_case(evidence, places)).status, Status::invalid) << "short data";
}

}  // namespace
}  // namespace greta::probes
