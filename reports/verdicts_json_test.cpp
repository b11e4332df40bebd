#include "reports/verdicts_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "reports/example_runs_test.hpp"

namespace greta::reports {
namespace {

using ::testing::HasSubstr;

std::string why_not(const std::string& json) {
  try {
    from_verdicts_json(json, "x.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    return e.what();
  }
  return "it was read";
}

TEST(VerdictsJson, RoundTripKeepsEveryField) {
  RunResult run = failing_run();
  run.interrupted = verbatim("a \"quoted\" reason\nover two lines");
  run.findings[2].metrics = {7,   6,   5,   4.1, 3.1,  2,     1.1, 0.1, 1e-300, 9.1,
                             8.1, 7.1, 6.1, 5.1, -0.5, -3.25, 4,   3,   2,      1LL << 60};
  const std::string text = to_verdicts_json(run);
  const RunResult back = from_verdicts_json(text, "x.json");
  EXPECT_EQ(to_verdicts_json(back), text);
  const auto& m = back.findings[2].metrics;
  EXPECT_EQ(m.count, 7);
  EXPECT_EQ(m.bound_ratio, 4.1);
  EXPECT_EQ(m.worst_bound, 1e-300);
  EXPECT_EQ(m.bias_z, -3.25);
  EXPECT_EQ(m.max_ulp, 1LL << 60);
  EXPECT_EQ(back.interrupted, run.interrupted);
  EXPECT_EQ(back.identity.prompt_tokens, run.identity.prompt_tokens);
  EXPECT_EQ(back.arms[1].first_failing, run.arms[1].first_failing);
  EXPECT_EQ(back.findings.size(), run.findings.size());
  EXPECT_EQ(back.findings[2].shape, run.findings[2].shape);
  EXPECT_EQ(back.exit_code(), run.exit_code());
}

// More than are put into words at once, each different, in their order.
TEST(VerdictsJson, KeepsManyFindingsInTheirOrder) {
  RunResult run = failing_run();
  const probes::Finding one = run.findings.front();
  for (const size_t count : {0u, 1u, 2047u, 2048u, 2049u, 5000u}) {
    run.findings.assign(count, one);
    for (size_t i = 0; i < count; ++i) run.findings[i].metrics.worst = static_cast<int64_t>(i);
    const RunResult back = from_verdicts_json(to_verdicts_json(run), "x.json");
    ASSERT_EQ(back.findings.size(), count);
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(back.findings[i].metrics.worst, static_cast<int64_t>(i));
  }
}

TEST(VerdictsJson, KeepsExplanations) {
  const RunResult run = explained_run();
  const std::string text = to_verdicts_json(run);
  const RunResult back = from_verdicts_json(text, "x.json");
  EXPECT_EQ(to_verdicts_json(back), text);
  ASSERT_EQ(back.explanations.size(), run.explanations.size());
  for (size_t i = 0; i < run.explanations.size(); ++i) {
    EXPECT_EQ(back.explanations[i].conclusion(), run.explanations[i].conclusion());
    EXPECT_EQ(back.explanations[i].margin(), run.explanations[i].margin());
    EXPECT_EQ(back.explanations[i].consequences, run.explanations[i].consequences);
  }
  EXPECT_EQ(back.explanations[0].excluded.back().ratio, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(back.explanations[0].not_applicable[0].applies);
  auto json = nlohmann::json::parse(text);
  json["explanations"][0]["answer"] = "perhaps";
  EXPECT_THAT(why_not(json.dump()), HasSubstr("'perhaps' is none of explained"));
  json["explanations"][0].erase("answer");
  EXPECT_THAT(why_not(json.dump()), HasSubstr("cannot be read"));
}

// Every field of Metrics, RunIdentity, … has its place: a new one that is not listed in verdicts_json.cpp
// would be lost.
TEST(VerdictsJson, ListsEveryMetric) {
  const auto json = nlohmann::json::parse(to_verdicts_json(passing_run()));
  EXPECT_EQ(json["findings"][0]["metrics"].size() * 8, sizeof(probes::Metrics));
}

TEST(VerdictsJson, NonFiniteMetricsAreStrings) {
  RunResult run = nan_run();
  run.findings[0].metrics.max_rel = std::numeric_limits<double>::infinity();
  run.findings[0].metrics.worst_actual = -std::numeric_limits<double>::infinity();
  const std::string text = to_verdicts_json(run);
  const auto json = nlohmann::json::parse(text);  // strict JSON
  EXPECT_EQ(json["findings"][3]["metrics"]["bound_ratio"], "NaN");
  EXPECT_EQ(json["findings"][0]["metrics"]["max_rel"], "Infinity");
  EXPECT_EQ(json["findings"][0]["metrics"]["worst_actual"], "-Infinity");
  const RunResult back = from_verdicts_json(text, "x.json");
  EXPECT_TRUE(std::isnan(back.findings[3].metrics.bound_ratio));
  EXPECT_EQ(back.findings[0].metrics.max_rel, std::numeric_limits<double>::infinity());
  EXPECT_EQ(back.exit_code(), ExitCode::invalid);
}

TEST(VerdictsJson, SaysItsExitCode) {
  EXPECT_EQ(nlohmann::json::parse(to_verdicts_json(failing_run()))["exit_code"], 1);
  EXPECT_EQ(nlohmann::json::parse(to_verdicts_json(nan_run()))["exit_code"], 4);
}

TEST(VerdictsJson, APathNeedNotBeUtf8) {
  RunResult run = passing_run();
  run.identity.model_path = "caf\xe9.gguf";
  EXPECT_TRUE(nlohmann::json::accept(to_verdicts_json(run)));
}

TEST(VerdictsJson, RefusesWhatIsNotOne) {
  EXPECT_EQ(why_not("{"), "'x.json' is not JSON");
  EXPECT_EQ(why_not("[]"), "'x.json' is not a greta/verdicts document");
  EXPECT_EQ(why_not("{\"schema\": \"other\"}"), "'x.json' is not a greta/verdicts document");
  EXPECT_EQ(why_not("{\"schema\": \"greta/verdicts\", \"schema_version\": 1}"),
            "'x.json' has schema version 1; this greta reads version 2: run the suite again");
  auto json = nlohmann::json::parse(to_verdicts_json(passing_run()));
  json["planned"] = "many";
  EXPECT_EQ(why_not(json.dump()), "'x.json' cannot be read: 'planned' is of another type");
  json.erase("planned");
  EXPECT_EQ(why_not(json.dump()), "'x.json' cannot be read: 'planned' is missing");
  json = nlohmann::json::parse(to_verdicts_json(passing_run()));
  json["findings"][0]["status"] = "good";
  EXPECT_THAT(why_not(json.dump()), HasSubstr("'good' is none of pass, fail, invalid"));
  json = nlohmann::json::parse(to_verdicts_json(passing_run()));
  json.erase("findings");
  EXPECT_THAT(why_not(json.dump()), HasSubstr("cannot be read"));
}

TEST(VerdictsJson, WritesWholeFilesOrNone) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "greta_verdicts_json_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = folder / "verdicts.json";
  write_verdicts_json(passing_run(), path);
  write_verdicts_json(failing_run(), path);
  EXPECT_EQ(read_verdicts_json(path).status, probes::Status::fail);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "no temporary file stays";
  EXPECT_THROW(write_verdicts_json(passing_run(), folder / "missing" / "verdicts.json"), Error);
  EXPECT_THROW(read_verdicts_json(folder / "missing.json"), Error);
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THROW(write_verdicts_json(passing_run(), folder / "taken"), Error) << "a directory is in the way";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2) << "nor after an error";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace greta::reports
