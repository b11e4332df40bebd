// What a run leaves for others, as a user meets it: exit codes, files and the one line that says what is
// wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/cli.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int code;
  std::string out, err;
};

Outcome greta(std::vector<std::string> words) {
  words.insert(words.begin(), "greta");
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  std::ostringstream out, err;
  const int code = run(static_cast<int>(argv.size()), argv.data(), out, err);
  return {code, out.str(), err.str()};
}

void expect_refusal(const std::vector<std::string>& words, int code, const std::string& line) {
  const Outcome outcome = greta(words);
  SCOPED_TRACE(testing::PrintToString(words));
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith(line));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// One run for all of these tests: a clean arm, and one with a fault that the suite does not expect.
class CliOutputs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / ("greta_cli_outputs_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    std::ofstream(at("suite.toml"))
        << "title = 'small'\nmodel = 'tiny'\nquant = 'q8_0'\nprompts = ['p0_short']\n"
           "phases = ['prefill', 'decode0']\n[[arm]]\nname = 'baseline'\n"
           "faults = ['v_cache.layer_base=0']\n[[arm]]\nname = 'fixed'\n"
           "[[probe]]\nuse = 'stage_parity'\n";
    setenv("GITHUB_STEP_SUMMARY", at("summary.md").c_str(), 1);
    ran_ = greta({"run", at("suite.toml"), "--out", at("run"), "--cache", at("cache"), "--threads", "2",
                  "--pack", "--jsonl", "--format", "github"});
    unsetenv("GITHUB_STEP_SUMMARY");
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string at(const std::string& name) { return folder_ / name; }

  static inline fs::path folder_;
  static inline Outcome ran_;
};

TEST_F(CliOutputs, ARunLeavesThemAll) {
  ASSERT_EQ(ran_.code, 1) << ran_.err << ran_.out;
  for (const char* name :
       {"trace.h5", "trace.jsonl", "verdicts.json", "report.md", "analysis.txt", "junit.xml"}) {
    EXPECT_TRUE(fs::exists(at("run/") + name)) << name;
    EXPECT_THAT(ran_.out, HasSubstr("wrote  " + at("run/") + name));
  }
  EXPECT_TRUE(fs::exists(at("run.tgz")));
  EXPECT_THAT(ran_.out,
              AllOf(HasSubstr("wrote  " + at("run.tgz")), HasSubstr("\n::error title=FAIL baseline%3A"),
                    HasSubstr("suite.toml,line=6::"), HasSubstr("\n::notice title=greta FAIL%3A small::")));
  EXPECT_THAT(content(at("summary.md")), StartsWith("## greta FAIL: small"));
  const auto result = reports::read_verdicts_json(at("run/verdicts.json"));
  for (const char* flag : {"--pack", "--jsonl", "--format", "github", "--out"})
    EXPECT_THAT(result.rerun, Not(HasSubstr(flag)));
}

TEST_F(CliOutputs, ARunIsRefusedBeforeItStarts) {
  const std::vector<std::string> again = {"run", at("suite.toml"), "--cache", at("cache")};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), again.begin(), again.end());
    return more;
  };
  expect_refusal(with({"--out", at("o2"), "--format", "gitub"}), 2,
                 "greta run: unknown value of --format 'gitub'; did you mean 'github'?");
  expect_refusal(with({"--out", at("o2"), "--jsonl", "--no-trace"}), 2,
                 "greta run: --jsonl is made of the trace");
  EXPECT_FALSE(fs::exists(at("o2")));
  fs::create_directories(at("old"));
  std::ofstream(at("old.tgz")) << "somebody's";
  expect_refusal(with({"--out", at("old"), "--pack"}), 2, "greta run: '" + at("old.tgz") + "' exists");
  EXPECT_EQ(content(at("old.tgz")), "somebody's");
}

TEST_F(CliOutputs, AReportMakesThemAgain) {
  const Outcome made = greta({"report", at("run"), "-o", at("again"), "--pack", "--format", "github"});
  EXPECT_EQ(made.code, 1) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("\n::error title=FAIL baseline%3A"), HasSubstr("\n::notice title=")));
  for (const char* name : {"junit.xml", "analysis.txt"})
    EXPECT_EQ(content(at("again/") + name), content(at("run/") + name)) << name;
  EXPECT_TRUE(fs::exists(at("again.tgz")));
  const Outcome spanish = greta({"report", at("run"), "-o", at("es"), "--lang", "es"});
  EXPECT_THAT(content(at("es/analysis.txt")),
              AllOf(HasSubstr("FALLA  small"), HasSubstr("primera divergencia: ")));
  expect_refusal({"report", at("run"), "-o", at("es"), "--format", "gitub"}, 2,
                 "greta report: unknown value of --format 'gitub'; did you mean 'github'?");
}

TEST_F(CliOutputs, TheSchemaIsPrinted) {
  EXPECT_EQ(greta({"list", "schema"}).out, content("docs/verdicts.schema.json"));
  EXPECT_THAT(greta({"list"}).out, Not(HasSubstr("json-schema.org")));
}

TEST_F(CliOutputs, TraceExport) {
  const std::string made = content(at("run/trace.jsonl"));
  EXPECT_THAT(made, StartsWith("{\"event\":\"schema\""));
  EXPECT_EQ(greta({"trace", "export", at("run"), "-o", "-"}).out, made);
  const Outcome exported =
      greta({"trace", "export", at("run/trace.h5"), "--format", "jsonl", "-o", at("x.jsonl")});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(exported.out, StartsWith("wrote  " + at("x.jsonl") + ": "));
  EXPECT_EQ(content(at("x.jsonl")), made);
  expect_refusal({"trace", "export", at("run")}, 2,
                 "greta trace export: '" + at("run/trace.jsonl") + "' exists");
  expect_refusal({"trace", "export", at("run"), "--format", "jsonnl"}, 2,
                 "greta trace export: unknown value of --format 'jsonnl'; did you mean 'jsonl'?");
  expect_refusal({"trace", "export", at("none")}, 3, "greta trace export: ");
  fs::create_directories(at("bare"));
  expect_refusal({"trace", "export", at("bare")}, 3,
                 "greta trace export: " + at("bare") + " has no trace.h5");
  expect_refusal({"trace", "export", at("suite.toml"), "-o", at("y.jsonl")}, 3, "greta trace export: ");
  expect_refusal({"trace", "export", at("run"), "-o", at("no/x.jsonl")}, 4,
                 "greta trace export: cannot write '");
}

TEST_F(CliOutputs, AcceptsTheFixAndRefusesTheWayBack) {
  const std::string baseline = at("run:baseline"), fixed = at("run:fixed");
  const Outcome accepted = greta({"accept", "--before", baseline, "--after", fixed, "-o", at("acc")});
  EXPECT_EQ(accepted.code, 0) << accepted.err << accepted.out;
  EXPECT_THAT(accepted.out, HasSubstr("\nACCEPTED  "));
  for (const char* name : {"acceptance.md", "acceptance.es.md", "acceptance.json"})
    EXPECT_TRUE(fs::exists(at("acc/") + name)) << name;
  EXPECT_THAT(content(at("acc/acceptance.md")), AllOf(HasSubstr("## Signatures"), HasSubstr("`fixed`")));
  expect_refusal({"accept", "--before", baseline, "--after", fixed, "-o", at("acc")}, 2,
                 "greta accept: '" + at("acc") + "' holds an acceptance already (acceptance.md)");

  const Outcome refused = greta({"accept", "--before", fixed, "--after", at("run/verdicts.json:baseline"),
                                 "-o", at("acc"), "--force", "--lang", "es"});
  EXPECT_EQ(refused.code, 1) << refused.err;
  EXPECT_TRUE(fs::exists(at("acc/acceptance.es.md")));
  EXPECT_FALSE(fs::exists(at("acc/acceptance.md"))) << "of the acceptance before";
  EXPECT_THAT(refused.out, HasSubstr("\nRECHAZADO  "));
  EXPECT_THAT(content(at("acc/acceptance.es.md")),
              AllOf(HasSubstr("RECHAZADO"), HasSubstr("## Firmas"), Not(HasSubstr("REFUSED"))));
}

TEST_F(CliOutputs, WhatCannotBeComparedHasNoVerdict) {
  auto other = reports::read_verdicts_json(at("run/verdicts.json"));
  other.identity.model_digest = "ffffffffffffffff";
  reports::write_verdicts_json(other, at("other.json"));
  const Outcome outcome =
      greta({"accept", "--before", at("run:baseline"), "--after", at("other.json:fixed"), "-o", at("acc4")});
  EXPECT_EQ(outcome.code, 4) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("no verdict: the models are not the same"), HasSubstr("\nNO VERDICT  ")));
}

TEST_F(CliOutputs, AcceptIsHeldToItsArguments) {
  const std::string run = at("run");
  expect_refusal({"accept", "--after", run + ":fixed"}, 2, "greta accept: --before is missing");
  expect_refusal({"accept", "--before", run + ":baselin", "--after", run + ":fixed"}, 2,
                 "greta accept: unknown arm of " + run + " in --before 'baselin'; did you mean 'baseline'?");
  expect_refusal(
      {"accept", "--before", run, "--after", run + ":fixed"}, 2,
      "greta accept: --before: " + run + " has 2 arms; say which: " + run + ":ARM (baseline, fixed)");
  expect_refusal({"accept", "--before", at("none") + ":a", "--after", run + ":fixed"}, 3,
                 "greta accept: cannot open '" + at("none"));
  expect_refusal({"accept", "--before", at("suite.toml"), "--after", run + ":fixed"}, 3, "greta accept: '");
  expect_refusal({"accept", "--before", run + ":baseline", "--after", run + ":fixed", "--lang", "ee"}, 2,
                 "greta accept: unknown value of --lang 'ee'; did you mean 'en'?");
  expect_refusal(
      {"accept", "--before", run + ":baseline", "--after", run + ":fixed", "-o", at("suite.toml/x")}, 2,
      "greta accept: cannot write to '");
  expect_refusal({"accept", "--before", run + ":fixed", "--after", run + ":fixed"}, 2,
                 "greta accept: --before and --after are the same arm of the same run");
}

}  // namespace
}  // namespace greta::cli
