// Tables of figures: rows places with their arms side by side, columns figures; and what is expected of them.
#include "reports/figures.hpp"

#include <gmock/gmock.h>

#include "reports/example_runs_test.hpp"
#include "reports/expected_figures.hpp"
#include "reports/terminal.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

using probes::Figure;
using probes::Finding;
using probes::Status;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> texts(const std::vector<Message>& messages) {
  std::vector<std::string> out;
  for (const auto& message : messages) out.push_back(message.text());
  return out;
}

Finding finding(const std::string& arm, const std::string& stage, std::vector<Figure> figures,
                Status status = Status::pass) {
  Finding out = example_finding(arm, "decode0", 5, stage, 0.5);
  out.probe = "v_layout", out.mode = "";
  out.status = status;
  if (status != Status::pass) out.message = verbatim("wrong");
  out.figures = std::move(figures);
  return out;
}

// Two arms, two stages with figures of their own, a head.
RunResult run_with_figures() {
  RunResult run = passing_run();
  run.arms = {{"before", Status::fail, "", ""}, {"after", Status::pass, "", ""}};
  run.findings.clear();
  for (const std::string arm : {"before", "after"}) {
    const bool bad = arm == "before";
    const std::string layout = bad ? "neither" : "row";
    run.findings.push_back(finding(arm, "v_cache",
                                   {{.name = "best", .text = layout},
                                    {.name = "mae_row", .value = bad ? 1.25 : 0},
                                    {.name = "best", .text = layout, .of = "head 0"}},
                                   bad ? Status::fail : Status::pass));
    run.findings.push_back(finding(arm, "pv", {{.name = "pv_mae", .value = 1.62e-8}}));
  }
  return run;
}

TEST(Figures, ArmsStandBesideEachOtherAndStagesShareARow) {
  const auto tables = figure_tables(run_with_figures(), 0);
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_EQ(tables[0].title.text(), "v_layout, phase decode0, layer 5");
  EXPECT_THAT(texts(tables[0].header), ElementsAre("prompt", "part", "arm", "best", "mae_row", "pv_mae"));
  ASSERT_EQ(tables[0].rows.size(), 4u);
  EXPECT_THAT(tables[0].rows[0].cells, ElementsAre("p0_short", "", "before", "neither", "1.25", "1.62e-08"));
  EXPECT_THAT(tables[0].rows[1].cells, ElementsAre("p0_short", "", "after", "row", "0", "1.62e-08"));
  EXPECT_THAT(tables[0].rows[2].cells, ElementsAre("p0_short", "head 0", "before", "neither", "", ""));
  EXPECT_EQ(tables[0].rows[0].status, Status::fail);
  EXPECT_EQ(tables[0].rows[1].status, Status::pass);
}

TEST(Figures, StagesWithTheSameFigureHaveRowsOfTheirOwn) {
  auto run = run_with_figures();
  run.findings[1].figures[0].name = "mae_row";
  const auto table = figure_tables(run, 0).front();
  EXPECT_THAT(texts(table.header), ElementsAre("prompt", "stage", "part", "arm", "best", "mae_row", "pv_mae"));
}

TEST(Figures, WhereThereIsNoRoomTheTellingRowsStay) {
  auto run = run_with_figures();
  auto other = run.findings;
  for (auto& one : other) {
    one.prompt = "p1";
    one.status = Status::pass;
  }
  run.findings.insert(run.findings.begin(), other.begin(), other.end());
  const auto table = figure_tables(run, 2).front();
  EXPECT_EQ(table.left_out, 6);
  ASSERT_EQ(table.rows.size(), 2u);
  for (const auto& row : table.rows) EXPECT_EQ(row.cells[0], "p0_short") << "an arm fails there";
  TerminalOptions options;
  options.max_rows = 2;
  EXPECT_THAT(terminal_report(run, options), HasSubstr("… 6 more rows in report.md"));
}

RunResult parted_run() {
  RunResult run = run_with_figures();
  run.findings.clear();
  for (const auto& [stage, wrong] : {std::pair{"q", "neither"}, {"k", "prefill"}, {"v", "both"}}) {
    auto one =
        finding("before", stage, {{.name = "mae", .value = 0.5}, {.name = "wrong_side", .text = wrong}},
                *wrong == 'n' ? Status::pass : Status::fail);
    one.probe = "phase_parity";
    run.findings.push_back(one);
  }
  return run;
}

TEST(Figures, WherePhasesPartTheStagesAreColumns) {
  auto run = parted_run();
  const auto table = divergence_tables(run, 0).front();
  EXPECT_THAT(texts(table.header), ElementsAre("prompt", "q", "k", "v", "first_out", "wrong_side"));
  EXPECT_THAT(table.rows.at(0).cells, ElementsAre("p0_short", "0.5", "0.5", "0.5", "k", "prefill"));
  for (auto& one : run.findings) one.status = Status::pass;
  EXPECT_THAT(divergence_tables(run, 0).front().rows.at(0).cells,
              ElementsAre("p0_short", "0.5", "0.5", "0.5", "-", "prefill"))
      << "phases may agree and be wrong";
  EXPECT_TRUE(divergence_tables(run_with_figures(), 0).empty());
}

TEST(ExpectedFigures, AreMetEverywhereOrSayWhereNot) {
  auto run = run_with_figures();
  const auto unmet = [&](const std::string& arm, ExpectedFigure expected) {
    ArmResult result{.name = arm};
    result.expect.figures = {std::move(expected)};
    return unmet_figures(run, result).text();
  };
  EXPECT_EQ(unmet("before", {.figure = "best", .is = "neither"}), "");
  EXPECT_EQ(unmet("after", {.figure = "pv_mae", .in = "*/pv v_layout", .at_most = 1e-6}), "");
  EXPECT_THAT(unmet("after", {.figure = "best", .is = "col"}),
              HasSubstr("the figure best col is row in p0_short/after/decode0/layer_05/v_cache v_layout"));
  EXPECT_THAT(unmet("before", {.figure = "mae_row", .at_most = 1}), HasSubstr("is 1.25 in"));
  EXPECT_THAT(unmet("after", {.figure = "best", .in = "p9*", .is = "row"}),
              HasSubstr("no finding has the figure"));
  EXPECT_THAT(unmet("after", {.figure = "best", .at_least = 0}), HasSubstr("is row in"))
      << "a word is no number";
}

TEST(ExpectedFigures, DecideAndSurviveTheFile) {
  auto run = run_with_figures();
  run.planned = run.compared = 1;
  run.controls.clear();
  run.arms[0].expect = {.verdict = "fail", .figures = {{.figure = "best", .is = "neither"}}};
  run.arms[1].expect = {.verdict = "pass",
                        .figures = {{.figure = "mae_row", .in = "*v_cache*", .at_most = 0.5}}};
  EXPECT_EQ(conclude(run), Status::pass);
  const auto back = from_verdicts_json(to_verdicts_json(run), "x.json");
  EXPECT_EQ(back.arms[1].expect, run.arms[1].expect);
  EXPECT_EQ(to_verdicts_json(back), to_verdicts_json(run));
  run.arms[0].expect.figures[0].is = "col";
  Message why;
  EXPECT_EQ(outcome_of(run, run.arms[0], &why), Status::fail);
  EXPECT_THAT(why.text(), HasSubstr("the figure best col is neither in"));
  EXPECT_EQ(conclude(run), Status::fail);
}

TEST(ExpectedFigures, TheControlThatRefusesIsNamed) {
  auto run = run_with_figures();
  run.controls = {{"route", "after", Status::invalid, verbatim("inert")},
                  {"model", "after", Status::pass, verbatim("same")}};
  run.arms[1].expect = {.verdict = "invalid", .control = "route"};
  EXPECT_EQ(outcome_of(run, run.arms[1]), Status::pass);
  run.controls.push_back({"factor", "after", Status::invalid, verbatim("inert")});
  Message why;
  EXPECT_EQ(outcome_of(run, run.arms[1], &why), Status::invalid);
  EXPECT_THAT(why.text(), HasSubstr("came invalid, refused by control route, factor"));
  run.arms[1].expect.control = "planned";
  EXPECT_EQ(outcome_of(run, run.arms[1]), Status::invalid);
}

}  // namespace
}  // namespace greta::reports
