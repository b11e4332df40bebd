#include "reports/selftest_result.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace greta::reports {
namespace {

using probes::Answer;
using probes::Status;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

SelftestFault good_fault(const std::string& stage = "q") {
  return {.fault = stage + ".weight_layout=col",
          .cause = "weight_layout=col",
          .stages = stage,
          .cells = {{.prompt = "p0",
                     .phase = "prefill",
                     .active = true,
                     .detected = true,
                     .localised = true,
                     .first = stage,
                     .refused_by = {"NMSE 5e-4"}},
                    {.prompt = "p0", .phase = "decode", .active = false}},
          .answer = Answer::explained,
          .causes = {"weight_layout=col"},
          .margin = 1000};
}

SelftestResult result_of(std::vector<SelftestFault> faults) {
  SelftestResult result;
  result.faults = std::move(faults);
  return result;
}

TEST(SelftestVerdict, APassNeedsEverything) {
  EXPECT_EQ(result_of({good_fault()}).status(), Status::pass);
  EXPECT_EQ(result_of({}).status(), Status::invalid) << "nothing ran";

  auto missed = good_fault();
  missed.cells[0].detected = missed.cells[0].localised = false;
  EXPECT_EQ(result_of({missed}).status(), Status::fail);
  EXPECT_THAT(result_of({missed}).shortfalls(), Contains(HasSubstr("not detected")));

  auto misplaced = good_fault();
  misplaced.cells[0].localised = false;
  EXPECT_EQ(result_of({misplaced}).status(), Status::fail);

  auto wrong = good_fault();
  wrong.causes = {"tile_store=transposed"};
  EXPECT_TRUE(wrong.explained_wrongly());
  EXPECT_EQ(result_of({wrong}).status(), Status::fail);

  auto inert = good_fault();
  inert.cells[0].active = false;
  EXPECT_EQ(result_of({inert}).status(), Status::invalid) << "a fault that never struck shows nothing";

  auto result = result_of({good_fault()});
  result.false_alarms = {"run 3"};
  EXPECT_EQ(result.status(), Status::fail);
  result.interrupted = "a signal";
  EXPECT_EQ(result.status(), Status::invalid);
}

// Nine of ten explained is enough when the tenth is indistinguishable, not when it is unexplained.
TEST(SelftestVerdict, TheRestMustBeIndistinguishable) {
  std::vector<SelftestFault> faults(10, good_fault());
  faults[0].answer = Answer::indistinguishable;
  faults[0].causes = {"load_layout=transposed", "weight_layout=col"};
  EXPECT_EQ(result_of(faults).status(), Status::pass);
  faults[1] = faults[0];
  EXPECT_EQ(result_of(faults).status(), Status::fail) << "8 of 10";
  faults[1] = good_fault();
  faults[0].answer = Answer::unexplained;
  faults[0].causes.clear();
  EXPECT_EQ(result_of(faults).status(), Status::fail);
}

TEST(SelftestReport, CountsWhatTheRulesLetPass) {
  auto second = good_fault("wo");
  second.cells[0].refused_by.clear();
  auto result = result_of({good_fault(), second});
  result.clean_tensors = 10;
  result.rule_false_alarms = {{"cosine 0.999", 2}};
  const auto text = selftest_terminal(result);
  EXPECT_THAT(text, ContainsRegex("NMSE 5e-4 +1 of 2 +1 +0 of 10 tensors +wo.weight_layout=col"));
  EXPECT_THAT(text, HasSubstr("2 of 10 tensors"));
  EXPECT_THAT(text, HasSubstr("detected 100 %, localised 100 %, explained 100 %"));
  EXPECT_THAT(text, HasSubstr("  q              ->  q 1\n"));
}

TEST(SelftestReport, JsonAndPicture) {
  auto unbounded = good_fault();
  unbounded.margin = std::numeric_limits<double>::infinity();
  const auto result = result_of({unbounded});
  const auto json = nlohmann::json::parse(selftest_json(result));
  EXPECT_EQ(json["status"], "pass");
  EXPECT_EQ(json["faults"][0]["margin"], "Infinity");
  EXPECT_EQ(json["confusion"][0]["cells"], 1);
  const auto picture = selftest_svg(result);
  EXPECT_THAT(picture, HasSubstr("<svg"));
  EXPECT_THAT(picture, HasSubstr(">q</text>"));
}

}  // namespace
}  // namespace greta::reports
