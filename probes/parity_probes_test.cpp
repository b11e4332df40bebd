// stage_parity, phase_parity and top1_coherence: each catches its planted fault and lets a harmless change
// pass.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "datasets/synthesise.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;

// A model for its weights and its configuration.
const reference::Model& tiny_model() {
  static const auto path =
      std::filesystem::temp_directory_path() / ("greta_probes_" + std::to_string(getpid()) + ".gguf");
  static const GgufFile file = [] {
    synthesise({.preset = "tiny", .quant = "q8_0", .seed = 3}, path.string());
    auto opened = GgufFile::open(path.string());
    std::filesystem::remove(path);  // the mapping keeps it
    return opened;
  }();
  static const reference::Model model(file);
  return model;
}

std::string figure_text(const Finding& finding, std::string_view name) {
  for (const auto& figure : finding.figures)
    if (figure.name == name) return figure.text;
  return "no figure";
}
double figure_value(const Finding& finding, std::string_view name) {
  for (const auto& figure : finding.figures)
    if (figure.name == name) return figure.value;
  return std::numeric_limits<double>::quiet_NaN();
}

struct ParityProbes : testing::Test {
  ParityProbes() : seed(test_seed()), random(seed) {
    RecordProperty("seed", std::to_string(seed));
    evidence.prompt = "p";
    evidence.arm = "auto";
  }
  size_t any(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random); }
  uint64_t seed;
  std::mt19937_64 random;
  Evidence evidence;
};

// attn_residual = embed + wo, the simplest of stages.
struct LocalParity : ParityProbes {
  LocalParity() : phase(evidence.add("prefill", {{1, 2, 3}, 0}, tiny_model().config().sizes(3, 3))) {
    evidence.model = &tiny_model();
    const auto count = static_cast<size_t>(3 * phase.sizes.D);
    x = random_values(count, random);
    wo = random_values(count, random);
    for (size_t i = 0; i < count; ++i) sum.push_back(x[i] + wo[i]);
    phase.put(-1, Stage::embed, tap_of(phase, Stage::embed, x, "op=embed w=f32"));
    phase.put(0, Stage::wo, tap_of(phase, Stage::wo, wo));
  }
  Finding judged(const std::vector<float>& out, const std::string& contract = "op=add") {
    phase.put(0, Stage::attn_residual, tap_of(phase, Stage::attn_residual, out, contract));
    return only(ProbeRun("stage_parity").layer(evidence, phase, 0, {Stage::attn_residual}));
  }
  Phase& phase;
  std::vector<float> x, wo, sum;
};

TEST_F(LocalParity, CountsTheElementsByTheirRatioToEachBound) {
  auto out = sum;
  out[any(out.size())] += 1;
  const Finding finding = judged(out);
  const auto total = [](const RatioHistogram& h) { return std::accumulate(h.begin(), h.end(), int64_t{0}); };
  EXPECT_EQ(total(finding.by_expected), static_cast<int64_t>(out.size()));
  EXPECT_EQ(total(finding.by_certain), static_cast<int64_t>(out.size()));
  EXPECT_EQ(finding.by_expected.back(), 1);
  EXPECT_TRUE(finding.head_ratio.empty()) << "attn_residual has no heads";
}

TEST(RatioBin, CutsAtPowersOfTwo) {
  EXPECT_EQ(ratio_bin(0), 0);
  EXPECT_EQ(ratio_bin(1e-30), 1);
  EXPECT_EQ(ratio_bin(0.5), 13);
  EXPECT_EQ(ratio_bin(std::nextafter(1.0, 0)), 13);
  EXPECT_EQ(ratio_bin(1), 14);
  EXPECT_EQ(ratio_bin(7.9), 16);
  EXPECT_EQ(ratio_bin(8), 17);
  EXPECT_EQ(ratio_bin(std::numeric_limits<double>::infinity()), 17);
  EXPECT_EQ(ratio_bin(std::nan("")), 17);
}

TEST_F(LocalParity, PassesTheRightSumAndSaysHowFitTheReferenceIs) {
  const auto finding = judged(sum);
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text() << " seed " << seed;
  EXPECT_EQ(finding.metrics.count, static_cast<int64_t>(sum.size()));
  EXPECT_THAT(finding.reason, HasSubstr("the reference is within"));
}

TEST_F(LocalParity, CatchesAnElementThatMoved) {
  const size_t at = any(sum.size());
  for (int i = 0; i < 4; ++i) sum[at] = std::nextafter(sum[at], std::numeric_limits<float>::infinity());
  const auto finding = judged(sum);
  EXPECT_EQ(finding.status, Status::fail) << "seed " << seed;
  EXPECT_EQ(finding.metrics.worst, static_cast<int64_t>(at));
}

TEST_F(LocalParity, CatchesNan) {
  sum[any(sum.size())] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(judged(sum).status, Status::fail);
}

TEST_F(LocalParity, CatchesSwappedRows) {
  const auto width = static_cast<long>(phase.sizes.D);
  std::swap_ranges(sum.begin(), sum.begin() + width, sum.begin() + width);
  EXPECT_EQ(judged(sum).status, Status::fail);
}

TEST_F(LocalParity, MissingOperandsAndStrangeContractsAreNoVerdict) {
  EXPECT_EQ(judged(sum, "op=add flavour=sweet").status, Status::invalid);
  Evidence bare;
  bare.model = &tiny_model();
  Phase& other = bare.add("prefill", {{1, 2, 3}, 0}, tiny_model().config().sizes(3, 3));
  other.put(0, Stage::attn_residual, tap_of(other, Stage::attn_residual, sum));
  const auto finding = only(ProbeRun("stage_parity").layer(bare, other, 0, {Stage::attn_residual}));
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_THAT(finding.message.text(), HasSubstr("did not come from the engine"));
}

TEST_F(LocalParity, Weights) {
  ProbeRun probe("stage_parity");
  const std::string name = "blk.1.attn_k.weight";
  EXPECT_EQ(only(probe.weight(tiny_model(), name, nullptr)).status, Status::invalid);
  const auto expected = tiny_model().weight(name);
  std::vector<float> values(static_cast<size_t>(expected->size()));
  std::copy_n(expected->data(), values.size(), values.begin());
  Tap tap;
  const auto deliver = [&] {
    tap.tensor =
        std::make_shared<const Tensor>(Tensor::from_f32({expected->rows(), expected->cols()}, values));
    tap.contract = "op=dequant w=f32";
    return only(probe.weight(tiny_model(), name, &tap));
  };
  const auto good = deliver();
  EXPECT_EQ(good.status, Status::pass) << good.message.text();
  EXPECT_EQ(good.stage, "weight/" + name);
  const size_t at = any(values.size() - 1);
  values[at] = values[at] * 1.001f + 1e-6f;
  EXPECT_EQ(deliver().status, Status::fail) << "seed " << seed;
}

TEST_F(ParityProbes, ChainedComparesWithTheEnvelope) {
  Phase& phase = evidence.add("prefill", {{1, 2, 3}, 0}, kSmall);
  auto x = random_values(24, random);
  const std::vector<double> value(x.begin(), x.end()), envelope(24, 1e-3);
  const Place place{"prefill", 0, Stage::attn_norm};
  const auto run = [&] {
    Evidence other;
    Phase& there = other.add("prefill", {{1, 2, 3}, 0}, kSmall);
    there.put(0, Stage::attn_norm, tap_of(there, Stage::attn_norm, x));
    return only(
        ProbeRun("stage_parity", {{"mode", "chained"}}).chained(other, there, place, value, envelope));
  };
  const size_t at = any(x.size());
  x[at] += 0.9e-3f;
  EXPECT_EQ(run().status, Status::pass);
  x[at] += 0.3e-3f;
  const auto finding = run();
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(finding.metrics.out_of_certain, 0) << "an envelope proves nothing";
  const auto missing =
      only(ProbeRun("stage_parity", {{"mode", "chained"}}).chained(evidence, phase, place, value, envelope));
  EXPECT_EQ(missing.status, Status::invalid);
}

TEST_F(ParityProbes, ChainedSaysHowFarEachRowHasDrifted) {
  Phase& phase = evidence.add("decode0", {{1, 2, 3}, 4}, kSmall);
  const auto x = random_values(24, random);
  const std::vector<double> envelope(24, 1e-3);
  const size_t at = any(24);
  for (const bool rows : {true, false}) {
    const Stage stage = rows ? Stage::ffn_residual : Stage::ffn_norm;
    phase.put(0, stage, tap_of(phase, stage, x));
    std::vector<double> value(x.begin(), x.end());
    value[at] += 0.5e-3;
    const auto finding = only(ProbeRun("stage_parity", {{"mode", "chained"}})
                                  .chained(evidence, phase, {"decode0", 0, stage}, value, envelope));
    if (!rows) {
      EXPECT_TRUE(finding.row_ratio.empty());
      continue;
    }
    ASSERT_EQ(finding.row_ratio.size(), 3u);
    EXPECT_EQ(finding.first_position, 4);
    for (size_t row = 0; row < 3; ++row)
      EXPECT_NEAR(finding.row_ratio[row], row == at / 8 ? 0.5 : 0, 1e-6) << "seed " << seed;
  }
}

struct PhaseParityTest : ParityProbes {
  PhaseParityTest()
      : prefill(evidence.add("prefill_last", {{3}, 2}, one())),
        decode(evidence.add("decode0", {{3}, 2}, one())) {
    truth = random_values(8, random);
    for (const std::string name : {"prefill_last", "decode0"})
      evidence.chained[{name, 0, Stage::attn_norm}] = {{truth.begin(), truth.end()},
                                                       std::vector<double>(8, 1e-3)};
  }
  static StageSizes one() {
    StageSizes sizes = kSmall;
    sizes.S = 1;
    return sizes;
  }
  Finding judged(const std::vector<float>& in_prefill, const std::vector<float>& in_decode) {
    prefill.put(0, Stage::attn_norm, tap_of(prefill, Stage::attn_norm, in_prefill));
    decode.put(0, Stage::attn_norm, tap_of(decode, Stage::attn_norm, in_decode));
    return only(ProbeRun("phase_parity").whole_case(evidence, {{"decode0", 0, Stage::attn_norm}}));
  }
  Phase &prefill, &decode;
  std::vector<float> truth;
};

TEST_F(PhaseParityTest, PassesWithinTheSumOfBothEnvelopes) {
  auto a = truth, b = truth;
  const size_t at = any(8);
  a[at] += 0.9e-3f;
  b[at] -= 0.9e-3f;
  const auto finding = judged(a, b);
  EXPECT_EQ(finding.status, Status::pass) << "seed " << seed;
  EXPECT_EQ(figure_text(finding, "wrong_side"), "neither");
}

// Both phases agree, and both are wrong: parity passes, and says so in its figures.
TEST_F(PhaseParityTest, TwoWrongSidesMayAgree) {
  auto bad = truth;
  bad[any(8)] += 0.01f;
  const auto finding = judged(bad, bad);
  EXPECT_EQ(finding.status, Status::pass);
  EXPECT_EQ(figure_text(finding, "wrong_side"), "both");
}

TEST_F(PhaseParityTest, SaysThatDecodeIsWrong) {
  auto bad = truth;
  bad[any(8)] += 0.01f;
  const auto finding = judged(truth, bad);
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_THAT(finding.message.text(), HasSubstr("decode0 is the wrong side"));
  EXPECT_EQ(figure_text(finding, "wrong_side"), "decode");
  EXPECT_GT(figure_value(finding, "ratio_decode"), 1);
  EXPECT_LE(figure_value(finding, "ratio_prefill"), 1);
  EXPECT_NEAR(figure_value(finding, "mae"), 0.01 / 8, 1e-6);
  EXPECT_NEAR(figure_value(finding, "max_abs"), 0.01, 1e-6);
}

TEST_F(PhaseParityTest, SaysThatPrefillIsWrong) {
  auto bad = truth;
  bad[any(8)] += 0.01f;
  const auto finding = judged(bad, truth);
  EXPECT_THAT(finding.message.text(), HasSubstr("prefill is the wrong side"));
  EXPECT_EQ(figure_text(finding, "wrong_side"), "prefill");
}

TEST_F(PhaseParityTest, SaysThatBothAreWrong) {
  auto up = truth, down = truth;
  up[3] += 0.01f;
  down[3] -= 0.01f;
  const auto finding = judged(up, down);
  EXPECT_THAT(finding.message.text(), HasSubstr("both sides are wrong"));
  EXPECT_EQ(figure_text(finding, "wrong_side"), "both");
}

TEST_F(PhaseParityTest, OtherTokensOrMissingSidesAreNoVerdict) {
  EXPECT_EQ(only(ProbeRun("phase_parity").whole_case(evidence, {{"decode0", 0, Stage::attn_norm}})).status,
            Status::invalid);
  EXPECT_EQ(
      only(ProbeRun("phase_parity").whole_case(evidence, {{"decode0_stepwise", 0, Stage::attn_norm}})).status,
      Status::invalid);
  Evidence other;
  other.add("prefill_last", {{3}, 2}, one());
  other.add("decode0", {{4}, 2}, one());
  const auto finding = only(ProbeRun("phase_parity").whole_case(other, {{"decode0", 0, Stage::attn_norm}}));
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_THAT(finding.message.text(), HasSubstr("not of the same token"));
}

struct Top1Test : ParityProbes {
  Top1Test() {
    StageSizes sizes = kSmall;
    sizes.S = 1;
    logits = random_values(11, random);
    best = any(11);
    second = (best + 4) % 11;
    logits[best] = 9;
    logits[second] = 8.9999f;
    for (const std::string name : {"prefill_last", "decode0"}) {
      evidence.add(name, {{3}, 2}, sizes);
      evidence.chained[{name, -1, Stage::logits}] = {{logits.begin(), logits.end()},
                                                     std::vector<double>(11, 1e-5)};
    }
  }
  // With these logits in decode0, and the right ones in prefill_last.
  Finding judged(const std::vector<float>& in_decode, int32_t top1) {
    for (auto& phase : evidence.phases) {
      const bool decode = phase.name == "decode0";
      phase.forget(-1, std::vector{Stage::logits}, Run::first);
      phase.put(-1, Stage::logits, tap_of(phase, Stage::logits, decode ? in_decode : logits));
      phase.outcome =
          decode ? Phase::Outcome{in_decode, top1} : Phase::Outcome{logits, static_cast<int32_t>(best)};
    }
    return only(ProbeRun("top1_coherence").whole_case(evidence, {{"decode0", -1, Stage::logits}}));
  }
  std::vector<float> swapped() const {
    auto out = logits;
    std::swap(out[best], out[second]);
    return out;
  }
  std::vector<float> logits;
  size_t best = 0, second = 0;
};

TEST_F(Top1Test, PassesWhenAllAgree) {
  const auto finding = judged(logits, static_cast<int32_t>(best));
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_TRUE(finding.message.empty());
  EXPECT_EQ(figure_text(finding, "top1"), std::to_string(best));
  EXPECT_EQ(figure_text(finding, "top1_reference"), std::to_string(best));
  EXPECT_NEAR(figure_value(finding, "margin"), 1e-4, 1e-6);
}

TEST_F(Top1Test, CatchesAnArgmaxKernelThatMissesTheLargest) {
  EXPECT_THAT(judged(logits, static_cast<int32_t>(second)).message.text(),
              HasSubstr("the argmax kernel says"));
}

TEST_F(Top1Test, CatchesAnotherTokenBeyondTheMargin) {
  const auto finding = judged(swapped(), static_cast<int32_t>(second));
  EXPECT_EQ(finding.status, Status::fail) << "seed " << seed;
  EXPECT_THAT(finding.message.text(), HasSubstr("the reference token " + std::to_string(best)));
}

TEST_F(Top1Test, ATieIsSaidSo) {
  for (auto& [place, rows] : evidence.chained) rows.envelope.assign(11, 1e-3);
  const auto finding = judged(swapped(), static_cast<int32_t>(second));
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_THAT(finding.message.text(), HasSubstr("tie: "));
}

TEST_F(Top1Test, NanHasNoTop1AndMissingReferenceNoVerdict) {
  auto bad = logits;
  bad[any(11)] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(judged(bad, static_cast<int32_t>(best)).status, Status::fail);
  evidence.chained.clear();
  EXPECT_EQ(judged(logits, static_cast<int32_t>(best)).status, Status::invalid);
}

}  // namespace
}  // namespace greta::probes
