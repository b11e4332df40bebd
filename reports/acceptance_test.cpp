#include "reports/acceptance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

probes::Finding layout_finding(const std::string& arm, const std::string& prompt, const std::string& phase,
                               bool good) {
  auto finding = example_finding(arm, phase, 5, "attn_out", 0.5);
  finding.probe = "v_layout";
  finding.mode = "";
  finding.prompt = prompt;
  if (!good) break_finding(finding, 4096);
  finding.metrics.mae = good ? 1e-8 : 0.125;
  for (const std::string head : {"head 0", "head 1"}) {
    finding.figures.push_back({.name = "v_layout_best", .text = good ? "row" : "neither", .of = head});
    finding.figures.push_back({.name = "v_mae_row", .value = good ? 1.5e-8 : 0.25, .of = head});
    finding.figures.push_back({.name = "pv_mae", .value = good ? 2e-8 : 0.5, .of = head});
  }
  return finding;
}

// The table of B3.25: a wrong V cache in arm `baseline`, and the arm `fixed`.
RunResult b3_25() {
  RunResult run = passing_run();
  run.title = "B3.25";
  run.findings.clear();
  run.controls.clear();
  run.arms = {{"baseline",
               probes::Status::fail,
               "",
               "unit=auto shape=auto",
               {.verdict = "fail", .first = "attn_out"}},
              {"fixed", probes::Status::pass, "", "unit=auto shape=auto"}};
  run.identity.prompt_tokens = {{"p0_short", {1, 2}}, {"p6_long", {1, 2, 3}}};
  for (const std::string arm : {"baseline", "fixed"})
    for (const std::string prompt : {"p0_short", "p6_long"}) {
      run.findings.push_back(layout_finding(arm, prompt, "decode0", arm == "fixed"));
      auto logits = example_finding(arm, "decode0", -1, "logits", 0.5);
      logits.prompt = prompt;
      run.findings.push_back(logits);
    }
  run.planned = run.compared = static_cast<int64_t>(run.findings.size());
  run.status = conclude(run);
  return run;
}

Acceptance accepted() {
  return accept({"run:baseline", b3_25(), "baseline"}, {"run:fixed", b3_25(), "fixed"});
}
Acceptance refused() {
  return accept({"run:fixed", b3_25(), "fixed"}, {"run:baseline", b3_25(), "baseline"});
}

Acceptance with(const std::function<void(RunResult& before, RunResult& after)>& change) {
  RunResult before = b3_25(), after = b3_25();
  change(before, after);
  return accept({"a:baseline", std::move(before), "baseline"}, {"b:fixed", std::move(after), "fixed"});
}

std::vector<std::string> reasons(const Acceptance& it) {
  std::vector<std::string> out;
  for (const auto& reason : it.invalid) out.push_back(reason.text());
  return out;
}

TEST(Acceptance, AFixIsAccepted) {
  const Acceptance it = accepted();
  EXPECT_THAT(reasons(it), IsEmpty());
  EXPECT_EQ(it.decision, Decision::accepted);
  EXPECT_EQ(it.exit_code(), ExitCode::pass);
  EXPECT_EQ(it.places, 4);
  EXPECT_THAT(it.fixed, SizeIs(2));
  EXPECT_THAT(it.broken, IsEmpty());
  ASSERT_THAT(it.bars, SizeIs(2));
  EXPECT_EQ(it.bars[0].probe, "v_layout");
  EXPECT_EQ(it.bars[0].change(), Change::fixed);
  EXPECT_EQ(it.bars[0].before.ratio, 4096);
  EXPECT_EQ(it.bars[0].before.mae, 0.125);
  EXPECT_EQ(it.bars[0].after.mae, 1e-8);
  EXPECT_EQ(it.bars[1].change(), Change::same);
}

TEST(Acceptance, TheWayBackIsRefused) {
  const Acceptance it = refused();
  EXPECT_THAT(reasons(it), IsEmpty());
  EXPECT_EQ(it.decision, Decision::refused);
  EXPECT_EQ(it.exit_code(), ExitCode::fail);
  EXPECT_THAT(it.broken, SizeIs(2));
  EXPECT_THAT(it.broken[0].key, HasSubstr("p0_short/baseline/decode0/layer_05/attn_out v_layout"));
  EXPECT_EQ(it.bars[0].change(), Change::broken);
}

TEST(Acceptance, WhatStillFailsIsRefused) {
  const Acceptance it = accept({"a", b3_25(), "baseline"}, {"b", b3_25(), "baseline"});
  EXPECT_EQ(it.decision, Decision::refused);
  EXPECT_THAT(it.still_failing, SizeIs(2));
  EXPECT_THAT(it.broken, IsEmpty());
}

// One of many that fails, among many that were fixed, is enough.
TEST(Acceptance, OneBrokenPlaceIsRefused) {
  const Acceptance it = with([](RunResult&, RunResult& after) { break_finding(after.findings.back(), 1.5); });
  EXPECT_EQ(it.decision, Decision::refused);
  EXPECT_THAT(it.fixed, SizeIs(2));
  ASSERT_THAT(it.broken, SizeIs(1));
  EXPECT_THAT(it.broken[0].key, HasSubstr("p6_long/fixed/decode0/logits"));
}

TEST(Acceptance, OtherModelsTokensAndPlacesGiveNoVerdict) {
  using Runs = void (*)(RunResult&, RunResult&);
  const std::pair<Runs, const char*> cases[] = {
      {[](RunResult&, RunResult& b) { b.identity.model_digest = "ff"; },
       "the models are not the same: 00112233445566ff before, ff after"},
      {[](RunResult& a, RunResult& b) { a.identity.model_digest = b.identity.model_digest = ""; },
       "the models are not the same"},
      {[](RunResult&, RunResult& b) {
         b.identity.prompt_tokens["p6_long"] = {1, 2, 4};
       },
       "the token ids of prompt p6_long are not the same"},
      {[](RunResult& a, RunResult&) { a.identity.prompt_tokens.erase("p6_long"); },
       "the token ids of prompt p6_long are not the same: 0 tokens before, 3 after"},
      {[](RunResult&, RunResult& b) {
         b.findings.pop_back();
         --b.planned, --b.compared;
       },
       "judged before, but not after: p6_long/baseline/decode0/logits"},
      {[](RunResult& a, RunResult&) {
         a.findings.erase(a.findings.begin());
         --a.planned, --a.compared;
       },
       "judged after, but not before: p0_short/fixed/decode0/layer_05/attn_out v_layout"},
      {[](RunResult&, RunResult& b) { b.findings.back().metrics.count = 12; },
       "24 elements of [2, 3, 4] before, 12"},
      {[](RunResult&, RunResult& b) { b.interrupted = interrupted_run().interrupted; },
       "after is INVALID: the run ended early: disk full: trace.h5"},
      {[](RunResult& a, RunResult&) { --a.compared; },
       "before is INVALID: 1 of 8 planned tensors were not compared"},
      {[](RunResult&, RunResult& b) { b.findings.back().metrics.bound_ratio = std::nan(""); },
       "after is INVALID: p6_long/fixed/decode0/logits"},
      {[](RunResult&, RunResult& b) {
         b.controls.push_back({"model", "fixed", probes::Status::invalid, {}});
       },
       "after is INVALID: control model of arm 'fixed'"},
  };
  for (const auto& [change, reason] : cases) {
    const Acceptance it = with(change);
    EXPECT_EQ(it.decision, Decision::none) << reason;
    EXPECT_EQ(it.exit_code(), ExitCode::invalid);
    EXPECT_THAT(reasons(it), Contains(HasSubstr(reason)));
    EXPECT_THAT(acceptance_markdown(it, Language::english),
                AllOf(HasSubstr("NO VERDICT"), Not(HasSubstr("ACCEPTED"))));
  }
}

TEST(Acceptance, AnotherArmsControlsAreNotAsked) {
  const Acceptance it = with([](RunResult& before, RunResult&) {
    before.controls.push_back({"model", "elsewhere", probes::Status::invalid, {}});
  });
  EXPECT_EQ(it.decision, Decision::accepted);
}

TEST(Acceptance, WholeRunsAreHeldArmByArm) {
  RunResult before = failing_run();
  const Acceptance it = accept({"a", before, ""}, {"b", passing_run(), ""});
  EXPECT_THAT(reasons(it), IsEmpty());
  EXPECT_EQ(it.decision, Decision::accepted);
  EXPECT_EQ(it.places, static_cast<int64_t>(passing_run().findings.size()));
  EXPECT_THAT(it.fixed, SizeIs(2));
}

TEST(Acceptance, TheFiguresStandBeforeAndAfter) {
  const Acceptance it = accepted();
  ASSERT_THAT(it.figures, SizeIs(1));
  const FigurePairs& table = it.figures[0];
  EXPECT_EQ(table.probe, "v_layout");
  EXPECT_THAT(table.names, ElementsAre("v_layout_best", "v_mae_row", "pv_mae"));
  ASSERT_THAT(table.rows, SizeIs(4)) << "two prompts, two heads";
  EXPECT_EQ(table.rows[0].of, "head 0");
  EXPECT_EQ(table.rows[0].before[0]->text, "neither");
  EXPECT_EQ(table.rows[0].after[0]->text, "row");
  EXPECT_EQ(table.rows[3].prompt, "p6_long");
  EXPECT_EQ(table.rows[3].before[2]->value, 0.5);
  const std::string text = acceptance_markdown(it, Language::english);
  EXPECT_THAT(text, HasSubstr("| p0\\_short | decode0 | 5 | head 0 | before | neither | 0.25 | 0.5 |\n"
                              "| p0\\_short | decode0 | 5 | head 0 | after | row | 1.5e-08 | 2e-08 |"));
}

// The layout is a figure of v_cache, the error one of pv: the reports' table has them in one row. A figure
// that two stages have keeps them apart.
TEST(Acceptance, FiguresOfOneStageEachStandSideBySide) {
  const auto split = [](RunResult& run, const std::string& name) {
    auto cache = run.findings.front();
    cache.stage = "v_cache";
    cache.figures = {{.name = name, .value = 0.125, .of = "head 0"}};
    run.findings.insert(run.findings.begin(), cache);
    ++run.planned, ++run.compared;
  };
  const auto both = [&](const std::string& name) {
    return with([&](RunResult& before, RunResult& after) {
      split(before, name);
      std::swap(after.findings[0], after.findings[4]);  // of arm `fixed` first
      split(after, name);
    });
  };
  const FigurePairs apart = both("v_mae_col").figures.at(0), same = both("pv_mae").figures.at(0);
  ASSERT_THAT(apart.rows, SizeIs(4));
  EXPECT_EQ(apart.names.size(), 4u);
  EXPECT_EQ(apart.rows[0].stage, "");
  EXPECT_EQ(apart.rows[0].after[0]->value, 0.125) << "v_mae_col";
  EXPECT_EQ(apart.rows[0].after[1]->text, "row") << "of the other stage";
  ASSERT_THAT(same.rows, SizeIs(5));
  EXPECT_EQ(same.rows[0].stage, "v_cache");
}

TEST(Acceptance, ThePaperCanBeSigned) {
  for (const Language language : {Language::english, Language::spanish}) {
    const std::string text = acceptance_markdown(accepted(), language);
    EXPECT_THAT(text, AllOf(HasSubstr("`run:baseline`"), HasSubstr("`run:fixed`"),
                            HasSubstr("00112233445566ff"), HasSubstr("\\_\\_\\_\\_")));
  }
  EXPECT_THAT(
      acceptance_markdown(accepted(), Language::english),
      AllOf(HasSubstr("# Acceptance of B3.25: ACCEPTED"), HasSubstr("## Signatures"), HasSubstr("fixed |"),
            HasSubstr(
                "| `v_layout` | `attn_out` | 2 | **✗4096** | 0.50 | 0.125 | 1e-08 | FAIL | PASS | fixed |")));
  EXPECT_THAT(
      acceptance_markdown(accepted(), Language::spanish),
      AllOf(HasSubstr("# Aceptación de B3.25: ACEPTADO"), HasSubstr("## Firmas"), HasSubstr("revisado por"),
            HasSubstr("| FALLA | PASA | corregido |"), Not(HasSubstr("ACCEPTED"))));
  EXPECT_THAT(acceptance_markdown(refused(), Language::english),
              AllOf(HasSubstr("REFUSED"), Not(HasSubstr("ACCEPTED")), HasSubstr("| broken |")));
}

TEST(Acceptance, TheJsonHasItAll) {
  const auto json = nlohmann::json::parse(acceptance_json(accepted()));
  EXPECT_EQ(json["schema"], "greta/acceptance");
  EXPECT_EQ(json["decision"], "accepted");
  EXPECT_EQ(json["exit_code"], 0);
  EXPECT_EQ(json["before"]["arm"], "baseline");
  EXPECT_EQ(json["bars"][0]["before"]["bound_ratio"], 4096);
  EXPECT_EQ(json["figures"][0]["rows"][0]["before"]["v_layout_best"], "neither");
  EXPECT_EQ(json["fixed"].size(), 2);
  EXPECT_EQ(nlohmann::json::parse(acceptance_json(refused()))["decision"], "refused");
}

TEST(Acceptance, TheTerminalEndsWithTheDecision) {
  const std::string text = acceptance_terminal(refused(), Language::english, false);
  EXPECT_THAT(text, AllOf(HasSubstr("passed before, and does not after:"), HasSubstr("v_mae_row")));
  EXPECT_THAT(text.substr(text.rfind('\n', text.size() - 2) + 1), HasSubstr("REFUSED  of 4 comparisons 2"));
}

}  // namespace
}  // namespace greta::reports
