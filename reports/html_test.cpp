// report.html as text: what the page embeds is what the run holds, and nothing in a run's names gets out of
// its place. What a browser makes of it is tests/page_test.py's.
#include "reports/html.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "reports/example_runs_test.hpp"
#include "reports/page_number.hpp"
#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

size_t count_of(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return {};
  const size_t first = from + begin.size();
  return text.substr(first, text.find(end, first) - first);
}

std::string data_text(const std::string& html) {
  return between(html, R"(<script type="application/json" id="data">)", "</script>");
}
json data_of(const RunResult& run) { return json::parse(data_text(html_report(run))); }

double number_of(const json& value) {
  return value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr) : value.get<double>();
}

// A failing run with all that a finding can carry.
RunResult full_run() {
  RunResult run = explained_run();
  auto& q = run.findings[2];
  q.head_ratio = {0.125F, 3.5F, std::numeric_limits<float>::infinity()};
  q.by_expected.assign(probes::kRatioBins, 1);
  q.by_certain.assign(probes::kRatioBins, 2);
  q.figures = {
      {"mae_row", 0.61, "", "head 0"}, {"layout", 0, "neither", "head 0"}, {"mae_row", 0.24, "", "head 1"}};
  for (auto& finding : run.findings)
    if (finding.stage == "logits" && finding.phase == "prefill") {
      finding.mode = "chained";
      finding.row_ratio = {0.25F, 0.5F, 2.0F};
    }
  run.arms[1].expect = {.verdict = "fail", .first = "softmax"};
  return run;
}

TEST(Html, EveryFindingIsInItsColumns) {
  const RunResult run = full_run();
  const json data = data_of(run);
  const json &columns = data["findings"], &names = data["names"];
  for (const auto& [name, column] : columns.items()) ASSERT_EQ(column.size(), run.findings.size()) << name;
  for (size_t i = 0; i < run.findings.size(); ++i) {
    const auto& finding = run.findings[i];
    const auto named = [&](const char* column, const char* list) {
      return names[list][columns[column][i].get<size_t>()].get<std::string>();
    };
    EXPECT_EQ(named("probe", "probes"), probe_name(finding));
    EXPECT_EQ(named("prompt", "prompts"), finding.prompt);
    EXPECT_EQ(named("arm", "arms"), finding.arm);
    EXPECT_EQ(named("phase", "phases"), finding.phase);
    EXPECT_EQ(named("stage", "stages"), finding.stage);
    EXPECT_EQ(named("kernel", "kernels"), finding.kernel);
    EXPECT_EQ(named("contract", "contracts"), finding.contract);
    EXPECT_EQ(named("reason", "reasons"), finding.reason);
    EXPECT_EQ(columns["layer"][i], finding.layer);
    EXPECT_EQ(columns["status"][i], static_cast<int>(status_of(finding)));
    EXPECT_EQ(columns["count"][i], finding.metrics.count);
    EXPECT_EQ(columns["out"][i], finding.metrics.out_of_bound);
    EXPECT_NEAR(number_of(columns["ratio"][i]), finding.metrics.bound_ratio,
                finding.metrics.bound_ratio * 6e-4);
  }
}

TEST(Html, WhatDoesNotPassIsThereInFull) {
  const RunResult run = full_run();
  const json data = data_of(run);
  size_t bad = 0;
  for (const auto& detail : data["details"]) {
    const auto& finding = run.findings[detail["at"].get<size_t>()];
    if (status_of(finding) == probes::Status::pass) continue;
    ++bad;
    EXPECT_EQ(data["texts"][detail["message"].get<size_t>()],
              json({in(Language::english, finding.message), in(Language::spanish, finding.message)}));
    EXPECT_EQ(detail["worst"], "[1, 1, 1]");
    EXPECT_EQ(detail["shape"], "[2, 3, 4]");
    EXPECT_EQ(detail["actual"], finding.metrics.worst_actual);
    EXPECT_EQ(detail["expected"], finding.metrics.worst_expected);
  }
  EXPECT_EQ(bad, 2U);
}

TEST(Html, VerdictArmsAndCausesAreTheRuns) {
  const RunResult run = full_run();
  const json data = data_of(run);
  const json &head = data["run"], &arm = head["arms"][1];
  EXPECT_EQ(head["status"], static_cast<int>(verdict_of(run)));
  EXPECT_EQ(head["exit_code"], 1);
  EXPECT_EQ(head["controls"].size(), run.controls.size());
  EXPECT_EQ(head["identity"]["digest"], run.identity.model_digest);
  EXPECT_EQ(arm["met"], false);
  EXPECT_EQ(run.findings[arm["first"].get<size_t>()].key(), run.arms[1].first_failing);
  EXPECT_EQ(head["arms"][0]["first"], -1);
  const json& explanation = data["explanations"][arm["explanation"].get<size_t>()];
  EXPECT_EQ(explanation["stage"], "q");
  EXPECT_EQ(explanation["proved"], true);
  EXPECT_EQ(explanation["fitting"][0]["causes"], json({"weight_layout=col"}));
  EXPECT_EQ(explanation["excluded"].size(), 5U);
  EXPECT_EQ(explanation["excluded"][4]["ratio"], "Infinity");
  EXPECT_EQ(run.findings[explanation["places"][0].get<size_t>()].key(), run.explanations[0].places[0]);
}

TEST(Html, PlotsGetTheirSums) {
  const json data = data_of(full_run());
  EXPECT_EQ(data["heads"][0]["at"], 2);
  EXPECT_EQ(data["heads"][0]["ratio"], json({0.125, 3.5, "Infinity"}));
  ASSERT_EQ(data["histograms"].size(), 1U);
  EXPECT_EQ(data["histograms"][0]["certain"], json(std::vector<int>(probes::kRatioBins, 2)));
  ASSERT_EQ(data["drift"].size(), 4U) << "two arms, all prompts and the one there is";
  EXPECT_EQ(data["drift"][0]["logits"], 0.5);
  EXPECT_EQ(data["drift"][0]["positions"], json({{0, 0, 0.25}, {1, 1, 0.5}, {2, 3, 2}}));
}

TEST(Html, FiguresAreATableAProbe) {
  const json table = data_of(full_run())["figures"];
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table[0]["columns"], json({"mae_row", "layout"}));
  EXPECT_EQ(table[0]["rows"], json({{2, "head 0", 0.61, "neither"}, {2, "head 1", 0.24, nullptr}}));
}

TEST(Html, HostileNamesStayInTheirPlace) {
  const std::string hostile = "</script><script>alert(1)</script><!-- \"'&@DATA@ \u2028\u2029 \\ \n \xff";
  RunResult run = full_run();
  const std::string clean = html_report(run);
  run.title = run.suite_path = run.rerun = run.identity.command_line = hostile;
  run.arms[0].name = hostile;
  run.controls[0].line = verbatim(hostile);
  for (auto& finding : run.findings) {
    finding.kernel = finding.reason = hostile;
    if (finding.arm == "auto") finding.arm = hostile;
  }
  const std::string html = html_report(run);
  EXPECT_EQ(count_of(html, "<script"), count_of(clean, "<script"));
  EXPECT_EQ(count_of(html, "</script"), count_of(clean, "</script"));
  EXPECT_EQ(count_of(html, "<!--"), count_of(clean, "<!--"));
  EXPECT_THAT(data_text(html), Not(HasSubstr("\u2028")));
  EXPECT_THAT(data_text(html), Not(HasSubstr("\u2029")));
  const std::string read_back = json::parse(data_text(html))["run"]["title"];
  EXPECT_EQ(read_back, hostile.substr(0, hostile.size() - 1) + "\uFFFD");
  EXPECT_THAT(
      between(html, "<title>", "</title>"),
      HasSubstr("FAIL: &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!-- &quot;&#39;&amp;@DATA@"));
}

// Every element that must be closed is, in order.
TEST(Html, IsWellFormed) {
  const std::string html = html_report(passing_run());
  EXPECT_THAT(html, ::testing::StartsWith("<!DOCTYPE html>\n<html lang=\"en\">"));
  for (const char* element : {"html", "head", "body", "header", "nav", "main", "section", "script", "style",
                              "title", "h2", "p", "span", "button"})
    EXPECT_EQ(
        count_of(html, std::string("<") + element + ">") + count_of(html, std::string("<") + element + " "),
        count_of(html, std::string("</") + element + ">"))
        << element;
  EXPECT_EQ(count_of(html, "id=\"data\""), 1U);
  EXPECT_THAT(html, Not(HasSubstr("@DATA@")));
  EXPECT_THAT(html, Not(HasSubstr("@TITLE@")));
  EXPECT_THAT(html, HasSubstr("default-src 'none'; style-src 'sha256-"));
  for (const char* address : {"src=\"", "href=\"http", "@import", "url("})
    EXPECT_THAT(html, Not(HasSubstr(address)));
}

TEST(Html, RunsWithoutEvidenceMakeAPage) {
  for (const RunResult& run : {RunResult{}, nan_run(), interrupted_run()}) {
    const json data = data_of(run);
    EXPECT_EQ(data["run"]["status"], static_cast<int>(probes::Status::invalid));
    EXPECT_FALSE(data["run"]["reasons"].empty());
  }
  const json contradicted = data_of(nan_run())["findings"];
  EXPECT_EQ(contradicted["ratio"][3], "NaN");
  EXPECT_EQ(contradicted["status"][3], static_cast<int>(probes::Status::invalid)) << "recorded as a pass";
}

TEST(PageNumber, NeverRoundsAcrossTheBound) {
  for (const double value : {1.00001, 0.99999, 1.0000000001, 0.9999999, 1.0, 0.9951, 1.0049})
    EXPECT_EQ(page_number(value), json(value));
  EXPECT_EQ(page_number(0.123456), json(0.1235));
  EXPECT_EQ(page_number(-123456.0), json(-123500.0));
  EXPECT_EQ(page_number(1.7e308), json(1.7e308));
  EXPECT_EQ(page_number(std::numeric_limits<double>::max()), json(std::numeric_limits<double>::max()));
  EXPECT_EQ(page_number(-INFINITY), json("-Infinity"));
  EXPECT_EQ(page_number(NAN), json("NaN"));
  EXPECT_EQ(page_number(-0.0).dump(), "0");
  EXPECT_EQ(page_number(5e-324), json(5e-324));
}

}  // namespace
}  // namespace greta::reports
