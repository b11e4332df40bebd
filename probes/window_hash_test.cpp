// window_hash: the whole row decides; the window says what the reports would have said.
#include "datasets/greta_hash.hpp"

#include <gmock/gmock.h>

#include "datasets/error.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;

TEST(GretaHash, FoldsWordsWithTheReportsConstants) {
  EXPECT_EQ(greta_hash({}), 1469598103934665603u);
  const float one = 1;  // 0x3f800000
  EXPECT_EQ(greta_hash({&one, 1}), (1469598103934665603u ^ 0x3f800000u) * 1099511628211u);
  const std::vector<float> a = {1, 2}, b = {2, 1};
  EXPECT_NE(greta_hash(a), greta_hash(b));
}

struct WindowHashTest : testing::Test {
  static constexpr size_t kWidth = 8;
  WindowHashTest() : random(test_seed()), truth(random_values(kWidth, random)) {
    StageSizes one = kSmall;
    one.S = 1;
    evidence.prompt = "p", evidence.arm = "auto";
    for (const std::string name : {"prefill_last", "decode0"}) {
      evidence.add(name, {{3}, 2}, one);
      evidence.chained[{name, 0, Stage::attn_norm}] = {{truth.begin(), truth.end()},
                                                       std::vector<double>(kWidth, 1e-3)};
    }
  }
  // Value `at` of decode is moved.
  Finding judged(const std::string& dims, size_t at, float by) {
    for (auto& phase : evidence.phases) {
      auto values = truth;
      if (phase.name == "decode0") values[at] += by;
      phase.forget(0, std::vector{Stage::attn_norm}, Run::first);
      phase.put(0, Stage::attn_norm, tap_of(phase, Stage::attn_norm, values));
    }
    return only(
        ProbeRun("window_hash", {{"dims", dims}}).whole_case(evidence, {{"decode0", 0, Stage::attn_norm}}));
  }
  static std::string text(const Finding& finding, std::string_view name) {
    for (const auto& figure : finding.figures)
      if (figure.name == name) return figure.text;
    return "no figure";
  }
  std::mt19937_64 random;
  std::vector<float> truth;
  Evidence evidence;
};

TEST_F(WindowHashTest, EqualRowsHaveEqualHashes) {
  const auto finding = judged("1/4", 0, 0);
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_EQ(text(finding, "hash_prefill"), text(finding, "hash_decode"));
  EXPECT_EQ(text(finding, "window"), "dims 0-1 of 8");
}

TEST_F(WindowHashTest, NoiseChangesTheHashAndNotTheVerdict) {
  const auto finding = judged("1/4", 1, 1e-4f);
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_NE(text(finding, "hash_prefill"), text(finding, "hash_decode"));
  EXPECT_EQ(text(finding, "equal_window"), "yes");
}

TEST_F(WindowHashTest, AWindowMissesWhatLiesBehindIt) {
  const auto finding = judged("2", 5, 0.5f);
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(text(finding, "equal_window"), "yes");
  EXPECT_EQ(text(finding, "equal_whole"), "no");
  EXPECT_EQ(text(finding, "hash_prefill"), text(finding, "hash_decode"));
  EXPECT_THAT(finding.message.text(), HasSubstr("the window passes what the whole row does not"));
}

TEST_F(WindowHashTest, AWindowAsWideAsTheRowIsTheWhole) {
  for (const char* dims : {"256", "8", "1/1"}) {
    const auto finding = judged(dims, 5, 0.5f);
    EXPECT_EQ(text(finding, "window"), "whole (8)");
    EXPECT_EQ(text(finding, "equal_window"), "no");
    EXPECT_EQ(finding.status, Status::fail);
  }
}

TEST_F(WindowHashTest, OtherTokensOrMissingSidesAreNoVerdict) {
  Evidence other;
  other.add("prefill_last", {{3}, 2}, kSmall);
  other.add("decode0", {{4}, 2}, kSmall);
  const auto finding = only(ProbeRun("window_hash").whole_case(other, {{"decode0", 0, Stage::attn_norm}}));
  EXPECT_EQ(finding.status, Status::invalid);
  EXPECT_EQ(only(ProbeRun("window_hash").whole_case(evidence, {{"decode0", 0, Stage::q}})).status,
            Status::invalid);
}

TEST_F(WindowHashTest, DimsAreACountOrAShare) {
  for (const char* wrong : {"0", "-1", "1/0", "2/3", "1/", "all", "1.5", "007"})
    EXPECT_THROW(complete_options(find_probe("window_hash"), {{"dims", wrong}}), Error) << wrong;
}

}  // namespace
}  // namespace greta::probes
