// Each cause, done by plain f32 loops, is inside its own hypothesis's bound and in no other's; what is right
// is in none.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/hypotheses/hypothesis_scene.hpp"

namespace greta::reference {
namespace {

using One = std::array<const Cause*, 1>;

// Pairs "planted, hypothesis" that fit each other, over all stages that have hypotheses.
std::set<std::string> confusions(const Scene& scene, std::map<std::string, int>& explained) {
  std::set<std::string> confused;
  for (const auto& row : stages()) {
    const auto causes = hypotheses_for(row.stage);
    if (causes.empty()) continue;
    std::map<const Cause*, std::optional<Bounded>> supposed;
    const Matrix right = scene.wrong(kRightCause, row.stage);
    EXPECT_TRUE(inside(right, scene.right(row.stage))) << row.name;
    for (const auto* cause : causes) {
      Message why;
      auto bounded = scene.suppose(One{cause}, row.stage, right, &why);
      EXPECT_NE(bounded.has_value(), !why.empty()) << cause->text();
      if (bounded && inside(right, *bounded))
        confused.insert(fmt::format("{}: right, {}", row.name, cause->text()));
      supposed[cause] = std::move(bounded);
    }
    for (const auto* planted : causes) {
      const Matrix output = scene.wrong(*planted, row.stage);
      if (!supposed[planted] && planted->name != "head_scale") continue;
      for (const auto* cause : causes) {
        if (cause->name == "head_scale") supposed[cause] = scene.suppose(One{cause}, row.stage, output);
        const bool fits = supposed[cause] && inside(output, *supposed[cause]);
        if (cause == planted) {
          EXPECT_TRUE(fits) << row.name << " with " << cause->text();
          explained[cause->text()] += fits;
        } else if (fits) {
          confused.insert(fmt::format("{}: {}, {}", row.name, planted->text(), cause->text()));
        }
      }
    }
  }
  return confused;
}

TEST(Hypotheses, EveryCauseHasOneButThoseThatChangeNoComputation) {
  std::set<std::string> known;
  for (const auto& row : stages())
    for (const auto* cause : hypotheses_for(row.stage)) {
      EXPECT_TRUE(cause->breaks(row.stage));
      known.insert(cause->text());
    }
  for (const auto* cause : weight_hypotheses()) {
    EXPECT_TRUE(cause->breaks_weights());
    known.insert(cause->text());
  }
  for (const auto& cause : causes())
    EXPECT_EQ(known.contains(cause.text()),
              cause.name != "barrier" && cause.name != "host_copy" && cause.name != "route_flag")
        << cause.text();
}

TEST(Hypotheses, APlantedCauseFitsItsOwnAndNoOther) {
  std::mt19937_64 random(test_seed());
  for (const auto& [quant, half] : {std::pair("q4_k_m", true), {"f32", false}}) {
    Scene scene(quant, half, random());
    SCOPED_TRACE(quant);
    std::map<std::string, int> explained;
    EXPECT_THAT(confusions(scene, explained), testing::IsEmpty());
    for (const auto& row : stages())
      for (const auto* cause : hypotheses_for(row.stage))
        EXPECT_GT(explained[cause->text()], 0) << cause->text();
  }
}

// One token: one row of each stage but the cache's.
TEST(Hypotheses, WhatADecodeStepCannotTellApart) {
  std::mt19937_64 random(test_seed());
  Scene scene("q4_k_m", false, random());
  scene.decode();
  std::map<std::string, int> explained;
  EXPECT_THAT(confusions(scene, explained),
              testing::UnorderedElementsAre("k_cache: cache_row=never_written, cache_position=+1",
                                            "k_cache: cache_position=+1, cache_row=never_written",
                                            "v_cache: cache_row=never_written, cache_position=+1",
                                            "v_cache: cache_position=+1, cache_row=never_written"));
  EXPECT_EQ(
      explained["mask=one_ahead"] + explained["logits_row=previous"] + explained["tile_store=transposed"], 0);
}

TEST(Hypotheses, NoCauseIsTheRightStage) {
  std::mt19937_64 random(test_seed());
  Scene scene("q4_k_m", true, random());
  for (const auto& row : stages()) {
    const auto right = scene.right(row.stage);
    const auto none = scene.suppose({}, row.stage, right.value);
    ASSERT_TRUE(none.has_value());
    const auto same = [](const Matrix& a, const Matrix& b) {
      return std::equal(a.data(), a.data() + a.size(), b.data(), [](double x, double y) {
        return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y);
      });
    };
    EXPECT_TRUE(same(none->value, right.value) && same(none->certain, right.certain) &&
                same(none->expected, right.expected))
        << row.name;
  }
}

}  // namespace
}  // namespace greta::reference
