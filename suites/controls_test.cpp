// Each control is seen to fail: exit code 4, and one line that names what was wrong.
#include <gtest/gtest.h>

#include <algorithm>

#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::TapRecord;
using engine::TapSink;
using probes::Status;

const std::string kSuite = R"(
prompts = ["tokens:5,9,2,7,1,3,8,4,6"]
phases = ["prefill", "decode0"]
)";
const std::string kProbe = R"(
[[probe]]
use = "stage_parity"
)";

reports::RunResult run_with(const std::string& arms, const Tampering& tampering = {}) {
  const RunFolder folder;
  return run(parse_suite(kSuite + arms + kProbe, "test.toml"), folder.options(), tampered(tampering));
}

// The run is INVALID, and one of its reasons says `what`.
void expect_invalid(const reports::RunResult& result, const std::string& what) {
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  const auto reasons = reports::invalid_reasons(result);
  const bool said = std::any_of(reasons.begin(), reasons.end(), [&](const auto& line) {
    return line.text().find(what) != std::string::npos;
  });
  EXPECT_TRUE(said) << "no reason says '" << what
                    << "'; the first: " << (reasons.empty() ? "none" : reasons.front().text());
  for (const auto& line : reasons) EXPECT_EQ(line.text().find('\n'), std::string::npos);
}

reports::RunResult run_record(
    const std::function<void(const CallInfo&, TapRecord&&, const TapSink&)>& record) {
  return run_with("", {.record = record});
}

TEST(Controls, ACleanRunPrintsThem) {
  const auto result = run_with("[[arm]]\nname = \"a\"\nunit = \"valu\"\nshape = \"gemv\"\n");
  EXPECT_EQ(result.exit_code(), ExitCode::pass);
  std::vector<std::string> names;
  for (const auto& control : result.controls) {
    names.push_back(control.name);
    EXPECT_EQ(control.status, Status::pass) << control.line.text();
    EXPECT_FALSE(control.line.empty());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"model", "planned", "route"}));
}

// What an arm asks of the engine is seen in what ran, or the factor was inert.
TEST(Controls, SettingsOfTheEngineAreFactors) {
  const auto factor = [](const std::string& setting) {
    const auto result =
        run_with("[[arm]]\nname = \"a\"\n[[arm]]\nname = \"b\"\ndiffers_from = \"a\"\n" + setting);
    for (const auto& control : result.controls)
      if (control.name == "factor") return control;
    return reports::Control{};
  };
  for (const char* setting : {"kv = \"f16\"", "kv = \"bf16\"", "attention = \"fused\"", "fusion = \"on\"",
                              "unit = \"mfma\"", "tuning = \"wide\""})
    EXPECT_EQ(factor(setting).status, Status::pass) << setting << ": " << factor(setting).line.text();
  // On the host machine these are what auto comes to.
  for (const char* setting : {"fusion = \"off\"", "graph = \"off\"", "tuning = \"plain\""}) {
    EXPECT_EQ(factor(setting).status, Status::invalid) << setting;
    EXPECT_NE(factor(setting).line.text().find("inert factor"), std::string::npos) << setting;
  }
}

TEST(Controls, AnInertFactorIsInvalidAndNamesWhatRan) {
  // Both arms take the same kernels: the automatic choice for these rows is what the second one forces.
  const auto result = run_with(R"(
[[arm]]
name = "auto"
unit = "valu"
[[arm]]
name = "forced"
unit = "valu"
differs_from = "auto"
)");
  expect_invalid(result, "inert factor: 'forced' ran the same kernels as 'auto'");
  expect_invalid(result, "matmul_valu_");
}

TEST(Controls, AFactorThatChangedWhatRanPasses) {
  const auto result = run_with(R"(
[[arm]]
name = "valu"
unit = "valu"
[[arm]]
name = "mfma"
unit = "mfma"
differs_from = "valu"
)");
  EXPECT_EQ(result.exit_code(), ExitCode::pass);
}

TEST(Controls, AFlagThatNeverReachesTheDispatcherIsInvalid) {
  const Tampering ignored{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (const auto at = record.kernel.find("_mfma_"); at != std::string::npos)
      record.kernel.replace(at, 6, "_valu_");
    sink(std::move(record));
  }};
  expect_invalid(run_with("[[arm]]\nname = \"m\"\nunit = \"mfma\"\n", ignored),
                 "inert factor: the arm forces unit=mfma");
}

TEST(Controls, OtherModel) {
  expect_invalid(run_with("", {.model_digest = "0123456789abcdef"}),
                 "the engine runs model 0123456789abcdef");
}

TEST(Controls, OtherTokens) {
  expect_invalid(run_record([](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                   if (!record.tokens.empty()) record.tokens.back() += 1;
                   sink(std::move(record));
                 }),
                 "other tokens than the plan's");
}

TEST(Controls, OtherPosition) {
  expect_invalid(run_record([](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                   if (record.stage == Stage::q_rope)
                     for (int32_t& position : record.positions) ++position;
                   sink(std::move(record));
                 }),
                 "does not lie at the positions of the plan");
}

TEST(Controls, MissingTensor) {
  expect_invalid(run_record([](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                   if (record.stage != Stage::wo) sink(std::move(record));
                 }),
                 "wo");
}

TEST(Controls, DuplicateTensor) {
  expect_invalid(run_record([](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                   if (record.stage == Stage::pv) sink(TapRecord(record));
                   sink(std::move(record));
                 }),
                 "twice");
}

TEST(Controls, ShortTensor) {
  expect_invalid(run_record([](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                   if (record.stage == Stage::ffn_up && record.tensor->shape()[0] > 1)
                     record.tensor = std::make_shared<const Tensor>(
                         record.tensor->rows(0, record.tensor->shape()[0] - 1));
                   sink(std::move(record));
                 }),
                 "ffn_up");
}

TEST(Controls, ZeroPairs) {
  // The engine delivers nothing at all.
  const auto result = run_record([](const CallInfo&, TapRecord&&, const TapSink&) {});
  EXPECT_EQ(result.compared, 0);
  expect_invalid(result, "nothing was compared");
}

reports::RunResult run_attention(const std::string& arm) {
  const RunFolder folder;
  return run(parse_suite("prompts = [\"tokens:5,9,2,7,1,3,8,4,6\"]\nphases = [\"decode0\"]\nlayers = "
                         "[-1]\n[[arm]]\nname = \"a\"\n" +
                             arm + "[[probe]]\nuse = \"v_layout\"\n",
                         "test.toml"),
             folder.options());
}

TEST(Controls, AWindowThatLeavesKeysOut) {
  const auto short_of = run_attention("keys_window = 4\n");
  expect_invalid(short_of, "control window of arm 'a': keys_window = 4 leaves out keys that matter");
  expect_invalid(short_of, "the instrument, not the engine");
  for (const auto& control : short_of.controls)
    EXPECT_EQ(control.status == Status::pass, control.name != "window")
        << control.name << ": " << control.line.text();
  EXPECT_EQ(run_attention("keys_window = 4\nexpect = { control = \"window\" }\n").exit_code(),
            ExitCode::pass);
  EXPECT_EQ(run_attention("keys_window = 9\n").exit_code(), ExitCode::pass);
  EXPECT_EQ(run_attention("keys_window = 9\nexpect = { control = \"window\" }\n").exit_code(), ExitCode::fail)
      << "a control that was to refuse and did not";
}

TEST(Controls, AWindowThatNoProbeLooksThroughIsInert) {
  expect_invalid(run_with("[[arm]]\nname = \"a\"\nkeys_window = 4\n"),
                 "no comparison of the arm looks at keys through it");
}

TEST(Controls, ARouteFlagThatIsIgnoredIsInvalid) {
  const std::string arm = "[[arm]]\nname = \"m\"\nunit = \"mfma\"\nshape = \"gemv\"\n";
  const std::string fault = "faults = [\"route_flag=ignored\"]\n";
  EXPECT_EQ(run_with(arm).exit_code(), ExitCode::pass);
  expect_invalid(run_with(arm + fault), "inert factor: the arm forces unit=mfma shape=gemv");
  EXPECT_EQ(run_with(arm + fault + "expect = { control = \"route\" }\n").exit_code(), ExitCode::pass);
  EXPECT_EQ(run_with(arm + fault + "expect = { control = \"factor\" }\n").exit_code(), ExitCode::invalid);
}

TEST(Controls, ExpectedFiguresDecide) {
  const auto arm = [&](const std::string& figure) {
    return run_attention("expect = { verdict = \"pass\", figures = [" + figure + "] }\n").exit_code();
  };
  EXPECT_EQ(arm("{ figure = \"v_layout_best\", is = \"row\" }"), ExitCode::pass);
  EXPECT_EQ(arm("{ figure = \"v_layout_best\", is = \"col\" }"), ExitCode::fail);
  EXPECT_EQ(arm("{ figure = \"pv_mae\", at_most = 1e-3, in = \"*/pv v_layout\" }"), ExitCode::pass);
  EXPECT_EQ(arm("{ figure = \"pv_mae\", at_least = 1e-3 }"), ExitCode::fail);
  EXPECT_EQ(arm("{ figure = \"pv_mae\", at_most = 1e-3, in = \"*/v_cache v_layout\" }"), ExitCode::fail)
      << "no such figure there";
}

TEST(Controls, WhatASuiteExpectsDecides) {
  const std::string fault = "faults = [\"q.prefill.weight_layout=col\"]\n";
  const auto arm = [&](const std::string& expect) {
    return run_with("[[arm]]\nname = \"planted\"\n" + fault + expect).exit_code();
  };
  EXPECT_EQ(arm(""), ExitCode::fail);
  EXPECT_EQ(arm("expect = { verdict = \"fail\", first = \"q\", cause = \"weight_layout=col\" }\n"),
            ExitCode::pass);
  EXPECT_EQ(arm("expect = { verdict = \"fail\", first = \"k\" }\n"), ExitCode::fail);
  EXPECT_EQ(arm("expect = { verdict = \"fail\", first = \"q\", cause = \"unexplained\" }\n"), ExitCode::fail);
  EXPECT_EQ(arm("expect = { verdict = \"pass\" }\n"), ExitCode::fail);
}

}  // namespace
}  // namespace greta::suites
