// The program as a user meets it, in this process: exit codes and the one line that says what is wrong.
#include "cli/cli.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "cli/environment.hpp"
#include "cli/model_cache.hpp"
#include "datasets/gguf.hpp"
#include "datasets/synthesise.hpp"
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

// One line on stderr, nothing on stdout.
void expect_refusal(const std::vector<std::string>& words, int code, const std::string& line) {
  const Outcome outcome = greta(words);
  SCOPED_TRACE(testing::PrintToString(words));
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith(line));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

class Cli : public testing::Test {
 protected:
  Cli() : folder_(fs::path(testing::TempDir()) / ("greta_cli_test_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~Cli() override {
    for (const auto& known : known_environment())
      if (known.of_runs) unsetenv(std::string(known.name).c_str());
    unsetenv("GRETA_QKV_FORCE_ROTUE");
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }
  std::string in_folder(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(in_folder(name), std::ios::binary) << text;
    return in_folder(name);
  }
  fs::path folder_;
};

TEST_F(Cli, HelpEverywhere) {
  EXPECT_EQ(greta({"--help"}).code, 0);
  EXPECT_THAT(greta({"--help"}).out,
              AllOf(HasSubstr("model make"), HasSubstr("GRETA_QKV_FORCE_GEMM"), HasSubstr("exit codes")));
  EXPECT_THAT(greta({"--version"}).out, StartsWith("greta 0."));
  EXPECT_EQ(greta({}).code, 2);
  const std::vector<std::vector<std::string>> commands = {
      {"run"},    {"list"},    {"model", "make"}, {"model", "inspect"}, {"trace", "inspect"}, {"compare"},
      {"doctor"}, {"explain"}, {"report"}};
  for (auto words : commands) {
    words.emplace_back("--help");
    const Outcome outcome = greta(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, StartsWith("usage: greta " + words[0]));
    words.back() = "--hlep";
    EXPECT_EQ(greta(words).code, 2);
    EXPECT_THAT(greta(words).err, HasSubstr("unknown flag '--hlep'; did you mean '--help'?"));
  }
}

TEST_F(Cli, WrongNamesHaveANearestRightOne) {
  expect_refusal({"rnu"}, 2, "greta: unknown command 'rnu'; did you mean 'run'?");
  expect_refusal({"model", "mkae"}, 2, "greta: unknown model command 'mkae'; did you mean 'make'?");
  expect_refusal({"model"}, 2, "greta: model what? (make, inspect)");
  expect_refusal({"--vesion"}, 2, "greta: unknown flag '--vesion'; did you mean '--version'?");
  expect_refusal({"run", "--modle", "x"}, 2, "greta run: unknown flag '--modle'; did you mean '--model'?");
  expect_refusal({"run", "aceptance"}, 2, "greta run: unknown suite 'aceptance'; did you mean 'acceptance'?");
  expect_refusal({"run", "--model", "mnii"}, 2, "greta run: unknown preset 'mnii'; did you mean 'mini'?");
  expect_refusal({"run", "--model", "tiny", "--quant", "q4_k_n", "--cache", in_folder("cache")}, 2,
                 "greta run: unknown value of --quant 'q4_k_n'; did you mean 'q4_k_m'?");
  expect_refusal({"run", "--wave", "63"}, 2, "greta run: unknown value of --wave '63'; did you mean '64'?");
  expect_refusal({"run", "--seed", "x"}, 2, "greta run: --seed wants");
  expect_refusal({"run", "--attention", "fuesd"}, 2,
                 "greta run: unknown attention 'fuesd'; did you mean 'fused'?");
  expect_refusal({"bench", "--kv", "fp16"}, 2, "greta bench: unknown kv 'fp16'; did you mean 'f16'?");
  expect_refusal({"selftest", "--fusoin", "on"}, 2,
                 "greta selftest: unknown flag '--fusoin'; did you mean '--fusion'?");
  expect_refusal({"list", "stage"}, 2, "greta list: unknown value of TOPIC 'stage'; did you mean 'stages'?");
  expect_refusal({"model", "make", "--preset", "tinny", "-o", in_folder("x.gguf")}, 2,
                 "greta model make: unknown value of --preset 'tinny'; did you mean 'tiny'?");
}

TEST_F(Cli, UnknownVariablesAreErrors) {
  setenv("GRETA_QKV_FORCE_ROTUE", "valu", 1);
  expect_refusal({"list"}, 2,
                 "greta list: unknown environment variable 'GRETA_QKV_FORCE_ROTUE'; did you mean "
                 "'GRETA_QKV_FORCE_ROUTE'?");
  EXPECT_EQ(greta({"--help"}).code, 0) << "help is always to be had";
  unsetenv("GRETA_QKV_FORCE_ROTUE");
  setenv("GRETA_QKV_FORCE_ROUTE", "vlau", 1);
  expect_refusal({"list"}, 2,
                 "greta list: unknown value of GRETA_QKV_FORCE_ROUTE 'vlau'; did you mean 'valu'?");
}

// docs/greta-flags.md has a row for each variable that is known, with its values, and none for another.
TEST_F(Cli, ThePageOfVariablesIsTheTable) {
  std::ifstream page("docs/greta-flags.md");
  ASSERT_TRUE(page) << "run from the source folder";
  std::vector<std::string> rows, known;
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| `GRETA_")) rows.push_back(line.substr(3, line.find('`', 3) - 3));
  for (const auto& row : known_environment()) known.emplace_back(row.name);
  EXPECT_EQ(rows, known);
  const std::string help = greta({"--help"}).out;
  for (const auto& row : known_environment()) EXPECT_THAT(help, HasSubstr(std::string(row.name)));
}

struct VariablesTest : Cli {
  VariablesTest()
      : suite(write("attention.toml",
                    "title = 'attention'\nmodel = 'tiny'\nquant = 'q8_0'\nprompts = ['tokens:1,2,3,4,5', "
                    "'p0_short']\n"
                    "phases = ['decode0']\nlayers = [0]\n[[arm]]\nname = 'a'\n"
                    "[[arm]]\nname = 'b'\nunit = 'valu'\nprompts = ['p0_short']\n"
                    "[[probe]]\nuse = 'v_layout'\n[[probe]]\nuse = 'window_hash'\nstages = ['q']\n")) {}
  ~VariablesTest() override { forget(); }
  static void forget() {
    for (const auto& known : known_environment())
      if (known.of_runs) unsetenv(std::string(known.name).c_str());
  }
  Outcome with(const std::vector<std::pair<std::string_view, std::string>>& variables) {
    forget();
    for (const auto& [name, value] : variables) setenv(std::string(name).c_str(), value.c_str(), 1);
    return greta({"run", suite, "--out", in_folder("out"), "--cache", in_folder("cache"), "--force"});
  }
  void expect_named(std::string_view name, const std::string& value, const std::string& says) {
    const Outcome outcome = with({{name, value}});
    SCOPED_TRACE(value);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(std::string(name)), HasSubstr(says)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  std::string suite;
};

TEST_F(VariablesTest, EachOverridesItsSettingAndIsRecorded) {
  const Outcome outcome =
      with({{kAttnLayer, "-1"}, {kAttnHead, "0,3"}, {kDimsSample, "1/8"}, {kPromptId, "p0_short"}});
  EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  const auto result = reports::read_verdicts_json(in_folder("out") + "/verdicts.json");
  std::set<std::string> parts, modes;
  for (const auto& finding : result.findings) {
    EXPECT_EQ(finding.prompt, "p0_short");
    EXPECT_EQ(finding.layer, 1) << "tiny has two layers";
    if (finding.probe == "window_hash") modes.insert(finding.mode);
    for (const auto& figure : finding.figures) parts.insert(figure.of);
  }
  EXPECT_EQ(parts, (std::set<std::string>{"", "head 0", "head 3"}));
  EXPECT_EQ(modes, std::set<std::string>{"1/8"});
  const std::string prefix =
      "GRETA_TRACE_ATTN_LAYER=-1 GRETA_TRACE_ATTN_HEAD=0,3 GRETA_TRACE_ATTN_DIMS_SAMPLE=1/8 "
      "GRETA_TRACE_PROMPT_ID=p0_short greta run";
  EXPECT_THAT(result.identity.command_line, StartsWith(prefix));
  EXPECT_THAT(result.rerun, StartsWith(prefix));
}

TEST_F(VariablesTest, AWindowOfKeysIsTheArmsAndRefusesIt) {
  const Outcome outcome = with({{kKeysWindow, "2"}});
  EXPECT_EQ(outcome.code, 4) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("keys_window = 2 leaves out keys that matter"));
}

TEST_F(VariablesTest, APromptTakesOnlyTheArmsThatHaveIt) {
  const Outcome outcome = with({{kPromptId, "tokens:1,2,3,4,5"}});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("arm 'b' is left out: it does not take prompt tokens:1,2,3,4,5"));
}

TEST_F(VariablesTest, WhatTheyDoNotTakeIsAnErrorThatNamesThem) {
  EXPECT_EQ(with({{kAttnLayer, ""}, {kPromptId, ""}}).code, 0) << "set to nothing is not set";
  expect_named(kAttnLayer, "two", "wants a whole number");
  expect_named(kAttnLayer, "2", "layers 0 to 1");
  expect_named(kAttnLayer, "-3", "layers 0 to 1");
  expect_named(kAttnHead, "1,1", "whole numbers, each once");
  expect_named(kAttnHead, "8", "the model has heads 0 to 7");
  expect_named(kKeysWindow, "0", "from 1 to");
  expect_named(kKeysWindow, "-64", "from 1 to");
  expect_named(kKeysWindow, "64k", "from 1 to");
  expect_named(kDimsSample, "0", "a whole number above 0");
  expect_named(kDimsSample, "2/3", "one part in so many");
  expect_named(kPromptId, "p0_shrt", "did you mean 'p0_short'?");
  suite = write("plain.toml",
                "model = 'tiny'\nprompts = ['p0_short']\nphases = ['prefill']\n[[probe]]\nuse = 'finite'\n");
  expect_named(kAttnHead, "0", "no probe of");
}

TEST_F(VariablesTest, SeveralSuitesRunInDirectoriesOfTheirOwn) {
  const std::string head = "model = 'tiny'\nquant = 'q8_0'\nprompts = ['p0_short']\nphases = ['prefill']\n";
  const std::string probe = "[[probe]]\nuse = 'stage_parity'\nstages = ['embed']\n";
  const std::string good = write("good.toml", head + probe);
  const std::string bad =
      write("bad.toml", head + "[[arm]]\nname = 'x'\nfaults = ['embed.embed_row=zeroed']\n" + probe);
  const std::string lost = write(
      "lost.toml", "model = '" + in_folder("none.gguf") + "'\n" + head.substr(head.find("prompts")) + probe);
  const std::string out = in_folder("several"), cache = in_folder("cache");
  const Outcome both = greta({"run", good, bad, "--out", out, "--cache", cache});
  EXPECT_EQ(both.code, 1) << both.err << both.out;
  const auto tail = both.out.substr(both.out.rfind("==="));
  EXPECT_THAT(tail, AllOf(HasSubstr("PASS  good: "), HasSubstr("FAIL  bad: ")));
  for (const char* name : {"good", "bad"}) {
    const auto result = reports::read_verdicts_json(out + "/" + name + "/verdicts.json");
    EXPECT_EQ(result.title, name);
    EXPECT_THAT(result.rerun, AllOf(HasSubstr(std::string(name) + ".toml"), Not(HasSubstr("--out"))));
    EXPECT_EQ(result.rerun.find(*name == 'g' ? "bad.toml" : "good.toml"), std::string::npos) << result.rerun;
  }
  expect_refusal({"run", good, bad, "--out", out, "--cache", cache}, 2,
                 "greta run: '" + out + "/good' holds a run already");
  expect_refusal({"run", good, bad, "--out", out + "/good", "--cache", cache}, 2,
                 "greta run: '" + out + "/good' holds a run itself");
  expect_refusal({"run", good, good, "--out", out, "--cache", cache, "--force"}, 2, "greta run: the suites");
  const Outcome mixed = greta({"run", lost, good, bad, "--out", out, "--cache", cache, "--force"});
  EXPECT_EQ(mixed.code, 3) << "what cannot be read says more than a FAIL";
  EXPECT_THAT(mixed.out.substr(mixed.out.rfind("===")),
              AllOf(HasSubstr("ERROR  lost: "), HasSubstr("PASS  good: "), HasSubstr("FAIL  bad: ")));
  expect_refusal(
      {"run", good, write("typo.toml", "promts = []\n"), "--out", in_folder("none"), "--cache", cache}, 2,
      "greta run: ");
  EXPECT_FALSE(fs::exists(in_folder("none"))) << "every suite is read before the first one runs";
}

TEST_F(Cli, SuiteFilesAreHeldToTheirKeys) {
  expect_refusal({"run", in_folder("none.toml")}, 3, "greta run: ");
  const std::string head = "title = 'x'\nprompts = ['p0_short']\nphases = ['prefill']\n";
  expect_refusal({"run", write("key.toml", head + "promts = []\n")}, 2, "greta run: ");
  EXPECT_THAT(greta({"run", in_folder("key.toml")}).err, HasSubstr("did you mean 'prompts'?"));
  expect_refusal(
      {"run", write("stage.toml", head + "[[probe]]\nuse = 'stage_parity'\nstages = ['sofmax']\n")}, 2,
      "greta run: ");
  EXPECT_THAT(greta({"run", in_folder("stage.toml")}).err, HasSubstr("did you mean 'softmax'?"));
  expect_refusal({"run", write("probe.toml", head + "[[probe]]\nuse = 'stage_party'\n")}, 2, "greta run: ");
  EXPECT_THAT(greta({"run", in_folder("probe.toml")}).err, HasSubstr("did you mean 'stage_parity'?"));
}

TEST_F(Cli, ModelsThatCannotBeRead) {
  const std::string out = in_folder("out");
  expect_refusal({"run", "--model", in_folder("none.gguf"), "--out", out}, 3, "greta run: ");
  expect_refusal({"run", "--model", folder_, "--out", out}, 3, "greta run: ");
  expect_refusal({"run", "--model", write("bad.gguf", "not a model at all"), "--out", out}, 3, "greta run: ");
  EXPECT_FALSE(fs::exists(out)) << "no empty directory stays behind";
  expect_refusal({"run", "--model", in_folder("bad.gguf"), "--quant", "f32"}, 2,
                 "greta run: --quant is for presets");
  expect_refusal({"model", "inspect", in_folder("none.gguf")}, 3, "greta model inspect: ");
  expect_refusal({"trace", "inspect", in_folder("bad.gguf")}, 3, "greta trace inspect: ");
  expect_refusal({"compare", in_folder("bad.gguf"), in_folder("none.h5")}, 3, "greta compare: ");
  expect_refusal({"compare", in_folder("bad.gguf")}, 2, "greta compare: an argument is missing");
  expect_refusal({"model", "inspect"}, 2, "greta model inspect: an argument is missing");
}

TEST_F(Cli, AMatrixIsForPresets) {
  const std::string rest =
      "prompts = ['p0_short']\nphases = ['prefill']\n[matrix]\nquant = ['q8_0', 'f16']\n"
      "seed = [1, 2]\n[[probe]]\nuse = 'finite'\n";
  const std::string suite = write("matrix.toml", "model = 'tiny'\n" + rest), out = in_folder("out");
  expect_refusal({"run", suite, "--model", "some.gguf", "--out", out}, 2,
                 "greta run: arm 'auto q8_0 seed=1' is for a preset in q8_0; 'some.gguf' is a file");
  expect_refusal({"run", suite, "--quant", "f32", "--out", out}, 2, "greta run: --quant would override");
  expect_refusal({"run", suite, "--seed", "3", "--out", out}, 2, "greta run: --seed would override");
  expect_refusal({"run", suite, "--model", "tyny", "--out", out}, 2, "greta run: unknown preset 'tyny'");
  const Outcome run = greta({"run", suite, "--cache", in_folder("models"), "--out", out});
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  for (const char* name : {"tiny-q8_0-seed1", "tiny-q8_0-seed2", "tiny-f16-seed1", "tiny-f16-seed2"}) {
    EXPECT_THAT(run.out, HasSubstr(name));
    EXPECT_THAT(run.err, HasSubstr(name));  // made
  }
  EXPECT_EQ(reports::read_verdicts_json(out + "/verdicts.json").models.size(), 4u);
}

TEST_F(Cli, OutputDirectories) {
  const std::string model = write("bad.gguf", "x");
  expect_refusal({"run", "--model", model, "--out", model + "/out"}, 2, "greta run: cannot write to '");
  fs::create_directories(folder_ / "done");
  write("done/verdicts.json", "{}");
  expect_refusal({"run", "--model", model, "--out", in_folder("done")}, 2,
                 "greta run: '" + in_folder("done") + "' holds a run already (verdicts.json)");
  EXPECT_TRUE(fs::exists(folder_ / "done/verdicts.json"));
  if (geteuid() == 0) return;  // root may write anywhere
  fs::create_directories(folder_ / "locked");
  fs::permissions(folder_ / "locked", fs::perms::owner_read | fs::perms::owner_exec);
  expect_refusal({"run", "--model", model, "--out", in_folder("locked/out")}, 2,
                 "greta run: cannot write to '");
  fs::permissions(folder_ / "locked", fs::perms::owner_all);
}

TEST_F(Cli, SettingsOfTheEngineAreFlagsOfEveryArm) {
  const auto run = [&](const std::vector<std::string>& flags, const std::string& out) {
    std::vector<std::string> words = {"run",          "smoke.toml", "--out",
                                      in_folder(out), "--cache",    in_folder("cache")};
    words[1] = in_folder("two.toml");
    words.insert(words.end(), flags.begin(), flags.end());
    return greta(words);
  };
  std::ofstream(in_folder("two.toml"))
      << "model = \"tiny\"\nprompts = [\"tokens:1,2,3\"]\nphases = [\"decode0\"]\n"
         "[[arm]]\nname = \"valu\"\nunit = \"valu\"\n[[arm]]\nname = \"mfma\"\n"
         "unit = \"mfma\"\n[[probe]]\nuse = \"stage_parity\"\n";
  const Outcome both = run({"--tuning", "plain"}, "both");
  EXPECT_EQ(both.code, 0) << both.err << both.out;
  EXPECT_THAT(both.out, AllOf(HasSubstr("valu"), HasSubstr("mfma")));
  const Outcome one = run({"--unit", "valu"}, "one");
  EXPECT_EQ(one.code, 0) << one.err << one.out;
  EXPECT_THAT(one.err, HasSubstr("arm 'mfma' is left out: with unit=valu it is arm 'valu'"));
  const Outcome graph = run({"--graph", "on"}, "graph");
  EXPECT_EQ(graph.code, 2) << graph.out;
  EXPECT_THAT(graph.err, HasSubstr("graph=on: the host machine captures no graphs"));
}

TEST_F(Cli, BenchPrintsALineAFigure) {
  const Outcome outcome = greta({"bench", "--model", "tiny", "--prompt-tokens", "9", "--decode", "8",
                                 "--repeat", "2", "--taps", "--fusion", "on", "--cache", in_folder("cache")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* text : {"# host machine", "copy\t", "prefill 9\t", "tokens/s\t",
                           "decode after 9 (launches)\t", "all taps over none\t"})
    EXPECT_THAT(outcome.out, HasSubstr(text));
}

TEST_F(Cli, ListComesFromTheRegistries) {
  const Outcome all = greta({"list"});
  EXPECT_EQ(all.code, 0) << all.err;
  for (const char* text : {"stage_parity", "phase_parity", "tap_neutrality", "softmax", "acceptance",
                           "p6_long", "mini", "q4_k_m", "unfused|fused"})
    EXPECT_THAT(all.out, HasSubstr(text));
  EXPECT_THAT(greta({"list", "stages"}).out,
              AllOf(StartsWith("stages\n"), HasSubstr("kq_soft_max-L"), Not(HasSubstr("p6_long"))));
}

TEST_F(Cli, ModelMakeAndInspect) {
  const std::string path = in_folder("tiny.gguf");
  const std::vector<std::string> make = {"model", "make",   "--preset", "tiny", "--quant",
                                         "q8_0",  "--seed", "7",        "-o",   path};
  const Outcome made = greta(make);
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, StartsWith("wrote " + path + ": tiny q8_0, seed 7"));
  expect_refusal(make, 2, "greta model make: '" + path + "' exists; overwrite it with --force");
  auto forced = make;
  forced.emplace_back("--force");
  EXPECT_EQ(greta(forced).out, made.out) << "the same bytes for the same seed";
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "no temporary file stays";
  EXPECT_THAT(greta({"model", "inspect", path}).out, HasSubstr("blk.0.attn_q.weight"));
  expect_refusal({"model", "make", "-o", folder_}, 2,
                 "greta model make: '" + folder_.string() + "' is a directory");
  expect_refusal({"model", "make", "-o", in_folder("no/x.gguf")}, 2,
                 "greta model make: there is no directory");
  expect_refusal({"model", "make"}, 2, "greta model make: where to?");
  expect_refusal({"model", "make", "--heads", "3", "--kv-heads", "2", "-o", in_folder("x.gguf")}, 2,
                 "greta model make: ");
  expect_refusal({"model", "make", "--layers", "0", "-o", in_folder("x.gguf")}, 2,
                 "greta model make: --layers wants a whole number from 1");
}

TEST_F(Cli, Doctor) {
  const Outcome outcome = greta({"doctor"});
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("HDF5 "), HasSubstr("Eigen "),
                                 HasSubstr("a kernel with a barrier, wave 32: ok")));
  EXPECT_EQ(outcome.code, outcome.out.find("PROBLEM") == std::string::npos ? 0 : 4) << outcome.out;
}

// A change of synthesise()'s bytes must raise kSynthesisVersion, or models in users' caches would be the old
// ones.
TEST_F(Cli, TheCacheKnowsTheGeneratorsVersion) {
  const std::string path = cached_preset("tiny", "q4_k_m", 1, in_folder("cache"), [](const std::string&) {});
  EXPECT_EQ(GgufFile::open(path).digest(), "be330f7b079939d5")
      << "synthesise() makes other bytes: raise kSynthesisVersion and put the new digest here";
  bool made_again = false;
  EXPECT_EQ(
      cached_preset("tiny", "q4_k_m", 1, in_folder("cache"), [&](const std::string&) { made_again = true; }),
      path);
  EXPECT_FALSE(made_again);
}

// The main job on the smallest model: engine, reference, trace, verdicts and report.
TEST_F(Cli, RunTiny) {
  const std::string suite = write("small.toml",
                                  "title = 'small'\nmodel = 'tiny'\nquant = 'q8_0'\nprompts = ['p0_short']\n"
                                  "phases = ['prefill', 'decode0']\n[[probe]]\nuse = 'stage_parity'\n");
  const std::string out = in_folder("out");
  const Outcome outcome =
      greta({"run", suite, "--out", out, "--cache", in_folder("cache"), "--threads", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  EXPECT_THAT(outcome.out, AllOf(StartsWith("PASS"), HasSubstr("softmax"), HasSubstr(out + "/report.md")));
  for (const char* name : {"trace.h5", "verdicts.json", "report.html", "report.md"})
    EXPECT_TRUE(fs::exists(out + "/" + name)) << name;
  const reports::RunResult result = reports::read_verdicts_json(out + "/verdicts.json");
  EXPECT_EQ(result.exit_code(), ExitCode::pass);
  EXPECT_GT(result.compared, 0);
  EXPECT_EQ(result.rerun.find("--out"), std::string::npos) << result.rerun;
  const std::string trace = out + "/trace.h5";
  EXPECT_THAT(greta({"trace", "inspect", trace, "--filter", "softmax"}).out, HasSubstr("op=softmax"));
  expect_refusal({"trace", "inspect", trace, "--filter", "sofmax"}, 2, "greta trace inspect: ");
  EXPECT_THAT(greta({"compare", trace, trace}).out, StartsWith("PASS"));
  expect_refusal({"compare", trace, trace, "--tolerance", "ulps=1"}, 2, "greta compare: ");
  expect_refusal({"compare", trace, trace, "--arm", "auto"}, 2, "greta compare: --arm wants A=B");
  expect_refusal({"run", suite, "--out", out, "--cache", in_folder("cache")}, 2,
                 "greta run: '" + out + "' holds a run already");
  expect_refusal({"run", suite, "--out", in_folder("o2"), "--cache", in_folder("cache"), "--only", "nowhere"},
                 2, "greta run: ");
  expect_refusal(
      {"run", suite, "--out", in_folder("o2"), "--cache", in_folder("cache"), "--prompt", "p0_shrt"}, 2,
      "greta run: ");
  expect_refusal({"run", suite, "--out", in_folder("o2"), "--cache", in_folder("cache"), "--prompt",
                  "file:" + in_folder("none.txt")},
                 3, "greta run: ");
  expect_refusal({"run", suite, "--out", in_folder("o2"), "--cache", in_folder("cache"), "--prompt", "text:"},
                 3, "greta run: ");
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The reports of a run that fails, made again: the same bytes, in the languages asked for.
void expect_reports_again(const std::string& run) {
  const std::string english = text_of(run + "/report.md"), spanish = text_of(run + "/report.es.md");
  const std::string other = run + "-again";
  EXPECT_THAT(english, HasSubstr("residual=twice explains ffn\\_residual"));
  EXPECT_THAT(spanish, AllOf(HasSubstr("residual=twice explica ffn\\_residual"), Not(HasSubstr("explains"))));
  const Outcome in_spanish = greta({"report", run, "--lang", "es", "-o", other});
  EXPECT_EQ(in_spanish.code, 1) << in_spanish.err;
  EXPECT_THAT(in_spanish.out, AllOf(StartsWith("FALLA  planted"), HasSubstr("EXPLICADA  ffn_residual"),
                                    HasSubstr(other + "/report.es.md"), Not(HasSubstr("report.md"))));
  EXPECT_EQ(text_of(other + "/report.es.md"), spanish);
  EXPECT_FALSE(fs::exists(other + "/report.md"));
  const Outcome in_both = greta({"report", other + "/verdicts.json"});
  EXPECT_EQ(in_both.code, 1) << in_both.err;
  EXPECT_THAT(in_both.out, StartsWith("FAIL  planted"));
  EXPECT_EQ(text_of(other + "/report.md"), english);
  EXPECT_EQ(text_of(other + "/report.es.md"), spanish);
  EXPECT_EQ(text_of(other + "/verdicts.json"), text_of(run + "/verdicts.json"));
}

TEST_F(Cli, ReportRefusesWhatIsNoRun) {
  expect_refusal({"report"}, 2, "greta report: ");
  expect_refusal({"report", in_folder("none")}, 3, "greta report: there is no '");
  fs::create_directories(in_folder("empty"));
  expect_refusal({"report", in_folder("empty")}, 3,
                 "greta report: '" + in_folder("empty") + "' is not the directory");
  const std::string broken = write("verdicts.json", "{\"schema\": ");
  expect_refusal({"report", broken}, 3, "greta report: '" + broken + "' is not JSON");
  expect_refusal({"report", broken, "--lang", "sp"}, 2, "greta report: unknown value of --lang");
  expect_refusal({"run", "--lang", "sp"}, 2, "greta run: unknown value of --lang");
}

TEST_F(Cli, ExplainsAPlantedFault) {
  const std::string suite =
      write("planted.toml",
            "title = 'planted'\nmodel = 'tiny'\nquant = 'q8_0'\nprompts = ['p0_short']\n"
            "phases = ['prefill', 'decode0']\n[[probe]]\nuse = 'stage_parity'\n");
  const std::string out = in_folder("out"), cache = in_folder("cache");
  const Outcome ran = greta({"run", suite, "--out", out, "--cache", cache, "--threads", "2", "--fault",
                             "ffn_residual.residual=twice"});
  EXPECT_EQ(ran.code, 1) << ran.err << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("residual=twice explains ffn_residual"));
  expect_reports_again(out);
  const Outcome explained = greta({"explain", out});
  EXPECT_EQ(explained.code, 1) << explained.err;
  EXPECT_THAT(explained.out, AllOf(HasSubstr("EXPLAINED  ffn_residual"), HasSubstr("residual=twice explains"),
                                   HasSubstr("excluded"), HasSubstr(out + "/explanations.json")));
  EXPECT_TRUE(fs::exists(out + "/explanations.json"));
  expect_refusal({"explain", out, "--only", "nowhere"}, 2, "greta explain: no finding that fails");
  expect_refusal({"explain", in_folder("none")}, 3, "greta explain: ");
  ASSERT_EQ(greta({"model", "make", "--preset", "tiny", "--seed", "77", "-o", in_folder("x.gguf")}).code, 0);
  expect_refusal({"explain", out, "--model", in_folder("x.gguf")}, 4,
                 "greta explain: the trace is of a model");
  fs::remove(out + "/trace.h5");
  expect_refusal({"explain", out}, 3, "greta explain: " + out + " has no trace.h5");
}

}  // namespace
}  // namespace greta::cli
