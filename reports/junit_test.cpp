#include "reports/junit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>

#include "reports/example_runs_test.hpp"
#include "reports/xml_text.hpp"

namespace greta::reports {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

pugi::xml_document parsed(const RunResult& run) {
  pugi::xml_document document;
  const auto result = document.load_string(junit_report(run).c_str());
  EXPECT_TRUE(result) << result.description();
  return document;
}

pugi::xml_node suite(const pugi::xml_document& document, const char* name) {
  return document.child("testsuites").find_child_by_attribute("testsuite", "name", name);
}

int64_t count(const pugi::xml_document& document, const char* what) {
  int64_t total = 0;
  for (const auto& node : document.child("testsuites").children("testsuite")) {
    int64_t here = 0;
    for (const auto& item : node.children("testcase")) here += item.child(what) ? 1 : 0;
    const char* total_of = std::string_view(what) == "error" ? "errors" : "failures";
    EXPECT_EQ(node.attribute(total_of).as_llong(), here) << node.attribute("name").value();
    EXPECT_EQ(node.attribute("tests").as_llong(),
              std::distance(node.children("testcase").begin(), node.children("testcase").end()));
    total += here;
  }
  return total;
}

// An arm in which a fault was planted, and in which it was found as the suite says.
RunResult planted_run(const Expectation& expect) {
  RunResult run = explained_run();
  run.arms[1].expect = expect;
  run.status = conclude(run);
  return run;
}

RunResult invalid_control_run() {
  RunResult run = passing_run();
  run.controls[2].status = probes::Status::invalid;
  run.status = conclude(run);
  return run;
}

// A control refuses the second arm, as the suite says that `control` will.
RunResult refused_run(const std::string& control) {
  RunResult run = invalid_control_run();
  run.arms[1].expect = {.verdict = "invalid", .control = control};
  run.status = conclude(run);
  return run;
}

RunResult empty_run() {
  RunResult run = passing_run();
  run.findings.clear();
  run.compared = 0;
  return run;
}

RunResult short_run() {  // every finding passes, but one tensor of the plan was not compared
  RunResult run = passing_run();
  --run.compared;
  return run;
}

RunResult distrusted_run() {  // the runner says FAIL, the findings do not
  RunResult run = passing_run();
  run.status = probes::Status::fail;
  return run;
}

RunResult stray_run() {  // a finding of an arm that the run does not name
  RunResult run = failing_run();
  run.findings.back().arm = "stray";
  return run;
}

// For CI, red and the exit code are the same thing.
TEST(Junit, ErrorsAndFailuresAreTheExitCode) {
  const Expectation met{"fail", "q", "weight_layout=col", {}}, unmet{"pass", "", "", {}};
  int seen[5] = {};
  for (const RunResult& run :
       {passing_run(), failing_run(), explained_run(), nan_run(), interrupted_run(), planted_run(met),
        planted_run(unmet), invalid_control_run(), refused_run("route"), refused_run("model"), empty_run(),
        short_run(), distrusted_run(), stray_run(), RunResult()}) {
    const auto document = parsed(run);
    const int code = static_cast<int>(run.exit_code());
    SCOPED_TRACE(junit_report(run));
    EXPECT_EQ(count(document, "error") > 0, code == 4);
    if (code != 4) {
      EXPECT_EQ(count(document, "failure") > 0, code == 1);
    }
    ++seen[code];
  }
  for (const int code : {0, 1, 4}) EXPECT_GT(seen[code], 0) << code;
}

TEST(Junit, AFailureSaysWhatAndWhere) {
  const auto document = parsed(failing_run());
  const auto failed =
      suite(document, "valu")
          .find_child_by_attribute("testcase", "name", "p0_short decode0 stage_parity (local)");
  ASSERT_TRUE(failed);
  EXPECT_STREQ(failed.attribute("classname").value(), "acceptance.valu");
  const auto failure = failed.child("failure");
  EXPECT_THAT(failure.attribute("message").value(),
              AllOf(HasSubstr("2 of 6 comparisons do not pass"),
                    HasSubstr("p0_short/valu/decode0/layer_01/q stage_parity(local)"),
                    HasSubstr("5 of 24 elements are out of bound")));
  EXPECT_THAT(failure.text().get(),
              AllOf(HasSubstr("worst: p0_short/valu/decode0/logits"), HasSubstr("[1, 1, 1] of [2, 3, 4]"),
                    HasSubstr("rerun: greta run acceptance --model mini.gguf --only"),
                    HasSubstr("kernel: matmul_valu")));
  EXPECT_EQ(suite(document, "auto").attribute("failures").as_int(), 0);
}

TEST(Junit, AnArmOfWhichSomethingIsExpectedIsJudgedByThat) {
  const auto met = parsed(planted_run({"fail", "q", "weight_layout=col", {}}));
  const auto arm = suite(met, "valu");
  EXPECT_EQ(arm.attribute("tests").as_int(), 3);
  EXPECT_EQ(arm.attribute("failures").as_int(), 0);
  EXPECT_THAT(arm.child("system-out").text().get(), AllOf(HasSubstr("judged by what the suite expects of it"),
                                                          HasSubstr("2 of its 13 findings fail")));
  const auto unmet = parsed(planted_run({"fail", "k", "weight_layout=col", {}}));
  EXPECT_FALSE(suite(unmet, "valu").child("testcase").child("failure")) << "it failed, as expected";
  const auto first =
      suite(unmet, "valu").find_child_by_attribute("testcase", "name", "expected first failing stage: k");
  EXPECT_THAT(first.child("failure").attribute("message").value(), HasSubstr("came fail, first at q"));
}

TEST(Junit, EveryPartOfAnExpectationIsATestOfItsOwn) {
  const auto refused = parsed(refused_run("route"));
  EXPECT_EQ(suite(refused, "valu").attribute("tests").as_int(), 2);
  EXPECT_EQ(suite(refused, "valu").attribute("errors").as_int(), 0);
  const auto other = parsed(refused_run("model"));
  const auto part =
      suite(other, "valu").find_child_by_attribute("testcase", "name", "expected refusal by control: model");
  EXPECT_THAT(part.child("error").attribute("message").value(), HasSubstr("route"));
  const auto figures =
      parsed(planted_run({.verdict = "fail", .figures = {{.figure = "mae_row", .at_most = 1}}}));
  EXPECT_EQ(suite(figures, "valu").attribute("tests").as_int(), 2);
  EXPECT_EQ(suite(figures, "valu").attribute("failures").as_int(), 1) << "no finding has that figure";
}

TEST(Junit, TheRunIsIdentified) {
  const auto document = parsed(passing_run());
  const auto run = suite(document, "run");
  const auto property = [&](const char* name) {
    return std::string(
        run.child("properties").find_child_by_attribute("property", "name", name).attribute("value").value());
  };
  EXPECT_EQ(property("model_digest"), "00112233445566ff");
  EXPECT_EQ(property("device"), "host machine, wave 64, 2 threads");
  EXPECT_EQ(property("command_line"), "greta run acceptance");
  EXPECT_EQ(run.attribute("time").as_double(), 12.34);
  EXPECT_STREQ(run.attribute("timestamp").value(), "2026-11-21T08:00:00");
}

TEST(Junit, WhatXmlForbidsIsReplaced) {
  RunResult run = failing_run();
  run.title = "a\x01<b>&\"\xff\x1b[31m";
  for (auto& finding : run.findings)
    if (finding.status == probes::Status::fail) finding.kernel = "k]]>\x02 \xef\xbf\xbf end";
  const std::string text = junit_report(run);
  for (const char bad : {'\x01', '\x02', '\x1b', '\xff'}) EXPECT_EQ(text.find(bad), std::string::npos);
  EXPECT_THAT(text, Not(HasSubstr("&#x")));
  EXPECT_THAT(text, Not(HasSubstr("&#1;")));
  const auto document = parsed(run);
  EXPECT_THAT(suite(document, "auto").child("testcase").attribute("classname").value(),
              HasSubstr("a\xef\xbf\xbd<b>&\"\xef\xbf\xbd\xef\xbf\xbd[31m.auto"));
  EXPECT_EQ(xml_text("tab\t line\n é 𝄞"), "tab\t line\n é 𝄞");
}

}  // namespace
}  // namespace greta::reports
