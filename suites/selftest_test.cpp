// The self-test on a tiny model: it names what it plants, and it fails when a fault gets through.
#include "suites/selftest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "datasets/cause.hpp"
#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "engine/faults/fault.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using probes::Status;
using ::testing::Contains;
using ::testing::HasSubstr;

class Selftest : public testing::Test {
 protected:
  SelftestOptions options(std::vector<std::string> faults) const {
    std::filesystem::create_directories(folder_.out());
    return {.model_path = folder_.model(),
            .scratch_dir = folder_.out(),
            .seed = test_seed(),
            .faults = std::move(faults)};
  }
  RunFolder folder_{{.preset = "tiny", .quant = "q4_k_m", .seed = test_seed(), .context = 64}};
};

TEST_F(Selftest, FindsPlacesAndNames) {
  const auto result = selftest(options({"k_rope.rope_pairs=halves", "ffn_down.q6_k_high_bits=dropped"}));
  EXPECT_EQ(result.interrupted, "");
  ASSERT_EQ(result.faults.size(), 2u);
  for (const auto& fault : result.faults) {
    EXPECT_TRUE(fault.detected()) << fault.fault;
    EXPECT_TRUE(fault.localised()) << fault.fault;
    EXPECT_TRUE(fault.explained()) << fault.fault << ": " << fault.conclusion;
  }
  EXPECT_EQ(result.status(), Status::pass) << testing::PrintToString(result.shortfalls());
  EXPECT_EQ(result.model, folder_.model());
  EXPECT_FALSE(result.digest.empty() || result.greta_version.empty() || result.created.empty());
}

// Scores of a trained model's size do not overflow, so nothing is wrong: a fault that is not seen fails the
// self-test.
TEST_F(Selftest, FailsWhereAFaultIsNotSeen) {
  const auto result = selftest(options({"softmax.softmax_max=not_subtracted"}));
  EXPECT_EQ(result.status(), Status::fail);
  EXPECT_THAT(result.shortfalls(), Contains(HasSubstr("not detected")));
}

TEST_F(Selftest, AFaultThatThisModelHasNoPlaceForIsNoVerdict) {
  const auto result = selftest(options({"attn_q.q6_k_offset=left_out"}));
  EXPECT_EQ(result.status(), Status::invalid);
  EXPECT_THAT(result.shortfalls(), Contains(HasSubstr("no weight that it could break")));
}

TEST_F(Selftest, SaysWhatNoProbeCanSee) {
  std::vector<std::string> left_out;
  selftest_faults(options({}), left_out);
  EXPECT_THAT(left_out, Contains(HasSubstr("route_flag=ignored: breaks no stage; the control `route`")));
  EXPECT_THROW(selftest(options({"route_flag=ignored"})), Error);
}

TEST_F(Selftest, PlantsEveryCauseOfTheCatalogue) {
  std::vector<std::string> left_out;
  std::set<std::string> planted;
  for (const auto& fault : selftest_faults(options({}), left_out))
    planted.insert(engine::Fault::parse(fault).cause->text());
  for (const auto& line : left_out) planted.insert(line.substr(0, line.find(':')));
  for (const Cause& cause : causes()) EXPECT_TRUE(planted.contains(cause.text())) << cause.text();
  EXPECT_LE(left_out.size(), 3u) << testing::PrintToString(left_out);
  auto all = options({});
  all.every_stage = true;
  EXPECT_GT(selftest_faults(all, left_out).size(), 120u);
}

TEST_F(Selftest, CleanRunsRaiseNoAlarm) {
  auto clean = options({});
  clean.clean = 3;
  const auto result = selftest(clean);
  EXPECT_EQ(result.clean_runs, 3);
  EXPECT_TRUE(result.faults.empty());
  EXPECT_EQ(result.status(), Status::pass) << testing::PrintToString(result.shortfalls());
}

}  // namespace
}  // namespace greta::suites
