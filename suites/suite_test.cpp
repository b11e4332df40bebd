#include "suites/suite.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "datasets/error.hpp"

namespace greta::suites {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kGood = R"(title = "t"
prompts = ["p0_short", "tokens:1,2"]
phases = ["prefill", "decode0"]
[[probe]]
use = "stage_parity"
)";

// The message of the usage error that `text` gives.
std::string refusal(const std::string& text) {
  try {
    parse_suite(text, "s.toml");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Suite, ReadsAllKeys) {
  const auto suite = parse_suite(R"(
title = "all"
model = "models/x.gguf"
quant = "f16"
seed = 7
prompts = ["p0_short", "p5_ba"]
phases = ["prefill_last", "decode3"]
phases_if_room = ["decode12"]
layers = [0, 5]
[[arm]]
name = "forced"
unit = "mfma"
shape = "gemv"
prompts = ["p5_ba"]
[[arm]]
name = "plain"
[[probe]]
use = "stage_parity"
mode = "chained"
stages = ["q", "softmax"]
[[probe]]
use = "finite"
)",
                                 "all.toml");
  EXPECT_EQ(suite.title, "all");
  EXPECT_EQ(suite.model, "models/x.gguf");
  EXPECT_EQ(suite.quant, "f16");
  EXPECT_EQ(suite.seed, 7u);
  EXPECT_THAT(suite.prompts, ElementsAre("p0_short", "p5_ba"));
  EXPECT_THAT(suite.phases, ElementsAre("prefill_last", "decode3"));
  EXPECT_THAT(suite.phases_if_room, ElementsAre("decode12"));
  EXPECT_THAT(suite.layers, ElementsAre(0, 5));
  ASSERT_EQ(suite.arms.size(), 2u);
  EXPECT_EQ(suite.arms[0].unit, "mfma");
  EXPECT_EQ(suite.arms[0].shape, "gemv");
  EXPECT_THAT(suite.arms[0].prompts, ElementsAre("p5_ba"));
  EXPECT_EQ(suite.arms[1].unit, "auto");
  ASSERT_EQ(suite.probes.size(), 2u);
  EXPECT_THAT(suite.probes[0].options, ElementsAre(testing::Pair("mode", "chained")));
  EXPECT_THAT(suite.probes[0].stages, ElementsAre("q", "softmax"));
}

TEST(Suite, TheEngineTableHoldsForEveryArmThatSaysNothingElse) {
  const auto suite = parse_suite(kGood + R"([engine]
attention = "fused"
kv = "f16"
unit = "valu"
[[arm]]
name = "as the table says"
[[arm]]
name = "its own"
kv = "bf16"
unit = "auto"
graph = "off"
)",
                                 "s.toml");
  ASSERT_EQ(suite.arms.size(), 2u);
  EXPECT_EQ(suite.arms[0].get("attention"), "fused");
  EXPECT_EQ(suite.arms[0].get("kv"), "f16");
  EXPECT_EQ(suite.arms[0].unit, "valu");
  EXPECT_EQ(suite.arms[0].get("graph"), "auto");
  EXPECT_EQ(suite.arms[1].get("attention"), "fused");
  EXPECT_EQ(suite.arms[1].get("kv"), "bf16");
  EXPECT_EQ(suite.arms[1].unit, "auto");
  EXPECT_EQ(suite.arms[1].get("graph"), "off");
  EXPECT_TRUE(suite.arms[0].lacks(Stage::softmax));
  EXPECT_FALSE(suite.arms[0].lacks(Stage::attn_out));

  const auto alone = parse_suite(kGood + "[engine]\nkv = \"f16\"\n", "s.toml");
  ASSERT_EQ(alone.arms.size(), 1u) << "the arm that is made";
  EXPECT_EQ(alone.arms[0].get("kv"), "f16");
  EXPECT_FALSE(alone.arms[0].lacks(Stage::softmax));
}

TEST(Suite, AnArmIsMadeWhenNoneIsNamed) {
  const auto suite = parse_suite(kGood, "s.toml");
  ASSERT_EQ(suite.arms.size(), 1u);
  EXPECT_EQ(suite.arms[0].name, "auto");
}

TEST(Suite, UnknownNamesGetTheNearestRightOneAndTheLine) {
  const auto has = [](const std::string& wrong, const std::string& line, const std::string& right) {
    EXPECT_THAT(refusal(wrong),
                testing::AllOf(HasSubstr("s.toml line " + line), HasSubstr("'" + right + "'")));
  };
  has(replaced(kGood, "title", "titel"), "1", "title");
  has(replaced(kGood, "stage_parity", "stage_partiy"), "5", "stage_parity");
  has(replaced(kGood, "\"prefill\"", "\"prefil\""), "3", "prefill");
  has(replaced(kGood, "decode0", "decode-1"), "3", "decode1");
  has(replaced(kGood, "decode0", "decode01"), "3", "decode0");
  has(kGood + "stages = [\"sofmax\"]\n", "6", "softmax");
  has(kGood + "mode = \"lcoal\"\n", "6", "local");
  has(kGood + "mood = \"local\"\n", "6", "mode");
  has(kGood + "[[arm]]\nnmae = \"a\"\n", "7", "name");
  has(kGood + "[[arm]]\nname = \"a\"\nunit = \"mfam\"\n", "8", "mfma");
  has(kGood + "[[arm]]\nname = \"a\"\nshape = \"gmev\"\n", "8", "gemv");
  has(kGood + "[[arm]]\nname = \"a\"\nattention = \"fuesd\"\n", "8", "fused");
  has(kGood + "[[arm]]\nname = \"a\"\natention = \"fused\"\n", "8", "attention");
  has(kGood + "[engine]\nkv = \"fp16\"\n", "7", "f16");
  has(kGood + "[engine]\nkvs = \"f16\"\n", "7", "kv");
  has(kGood + "[engin]\nkv = \"f16\"\n", "6", "engine");
  has(kGood + "[[arm]]\nname = \"a\"\nprompts = [\"p0_shrot\"]\n", "6", "p0_short");
}

TEST(Suite, OtherNamesOfTheRoutesGetTheRightKey) {
  EXPECT_THAT(refusal(kGood + "[[arm]]\nname = \"a\"\nroute = \"mfma\"\n"), HasSubstr("the key is unit"));
  EXPECT_THAT(refusal(kGood + "[[arm]]\nname = \"a\"\ngemm = \"gemv\"\n"), HasSubstr("the key is shape"));
}

TEST(Suite, WrongTypesAndEmptyLists) {
  EXPECT_THAT(refusal(replaced(kGood, "\"t\"", "3")), HasSubstr("title must be a string, not integer"));
  EXPECT_THAT(refusal(replaced(kGood, "[\"p0_short\", \"tokens:1,2\"]", "\"p0_short\"")),
              HasSubstr("prompts must be an array"));
  EXPECT_THAT(refusal(replaced(kGood, "[\"p0_short\", \"tokens:1,2\"]", "[]")),
              HasSubstr("prompts is empty"));
  EXPECT_THAT(refusal(replaced(kGood, "\"tokens:1,2\"", "\"p0_short\"")), HasSubstr("names p0_short twice"));
  EXPECT_THAT(refusal(replaced(kGood, "[\"prefill\", \"decode0\"]", "[]")), HasSubstr("phases is empty"));
  EXPECT_THAT(refusal("layers = [-9999999999]\n" + kGood), HasSubstr("layers = -9999999999 is outside"));
  EXPECT_THAT(refusal("layers = [99999999999]\n" + kGood), HasSubstr("outside"));
  EXPECT_THAT(refusal("seed = -1\n" + kGood), HasSubstr("seed = -1 is outside"));
  EXPECT_THAT(refusal("seed = 1.5\n" + kGood), HasSubstr("seed must be an integer"));
  EXPECT_THAT(refusal("arm = []\n" + kGood), HasSubstr("[[arm]]"));
  EXPECT_THAT(refusal("arm = 3\n" + kGood), HasSubstr("[[arm]]"));
  EXPECT_THAT(refusal(kGood + "mode = [1]\n"), HasSubstr("an option must be"));
  EXPECT_THAT(refusal("phases_if_room = [\"prefill\"]\n" + kGood), HasSubstr("decode1 and later"));
}

TEST(Suite, WhatMustBeThere) {
  EXPECT_THAT(refusal(""), HasSubstr("no prompts"));
  EXPECT_THAT(refusal("prompts = [\"p0_short\"]"), HasSubstr("no phases"));
  EXPECT_THAT(refusal("prompts = [\"p0_short\"]\nphases = [\"prefill\"]"), HasSubstr("no [[probe]]"));
  EXPECT_THAT(refusal(kGood + "[[probe]]\nstages = [\"q\"]\n"), HasSubstr("needs use"));
  EXPECT_THAT(refusal(kGood + "[[arm]]\nunit = \"mfma\"\n"), HasSubstr("an arm needs a name"));
  EXPECT_THAT(refusal(kGood + "[[arm]]\nname = \"a\"\n[[arm]]\nname = \"a\"\n"),
              HasSubstr("two arms are called 'a'"));
  EXPECT_THAT(refusal(kGood + "[[arm]]\nname = \"a/b\"\n"), HasSubstr("must not contain '/'"));
}

TEST(Suite, SyntaxErrorsNameLineAndColumn) {
  EXPECT_THAT(refusal("title = \nprompts = []"), HasSubstr("s.toml line 1 column"));
  EXPECT_THAT(refusal("a = 1\na = 2\n"), HasSubstr("line 2"));
  EXPECT_THAT(refusal("\xff\xfe"), HasSubstr("s.toml line 1"));
}

TEST(Suite, FilesThatCannotBeRead) {
  const auto code = [](const std::string& path) {
    try {
      load_suite(path);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path));
      return error.code();
    }
    return ExitCode::pass;
  };
  EXPECT_EQ(code("/no/such/suite.toml"), ExitCode::bad_input);
  EXPECT_EQ(code(std::filesystem::temp_directory_path().string()), ExitCode::bad_input);
}

TEST(Suite, TheAcceptanceSuiteIsWhole) {
  const std::filesystem::path here = "suites";  // ctest runs in the source tree
  const auto suite = load_suite((here / "acceptance.toml").string());
  EXPECT_EQ(suite.title, "acceptance");
  EXPECT_EQ(suite.prompts.size(), 4u);
  EXPECT_EQ(suite.arms.size(), 5u);
  EXPECT_EQ(suite.probes.size(), 7u);
}

TEST(Suite, ReadsWindowsLayersFromTheEndAndWhatIsExpectedOfFigures) {
  const auto suite = parse_suite(R"(prompts = ["p0_short"]
phases = ["decode0"]
layers = [-1, 0]
[[arm]]
name = "w"
keys_window = 64
expect = { control = "window", figures = [
  { figure = "pv_mae", at_most = 1e-5, in = "p0_short/*" },
  { figure = "v_layout_best", is = "row" },
] }
[[probe]]
use = "v_layout"
heads = "0,1"
[[probe]]
use = "window_hash"
dims = 256
)",
                                 "s.toml");
  EXPECT_THAT(suite.layers, ElementsAre(-1, 0));
  const auto& arm = suite.arms.front();
  EXPECT_EQ(arm.keys_window, 64);
  EXPECT_EQ(arm.expect.verdict, "invalid") << "a control that refuses leaves no verdict";
  EXPECT_EQ(arm.expect.control, "window");
  ASSERT_EQ(arm.expect.figures.size(), 2u);
  EXPECT_EQ(arm.expect.figures[0].at_most, 1e-5);
  EXPECT_EQ(arm.expect.figures[0].in, "p0_short/*");
  EXPECT_EQ(arm.expect.figures[1].is, "row");
  EXPECT_EQ(suite.probes[0].options.at("heads"), "0,1");
  EXPECT_EQ(suite.probes[1].options.at("dims"), "256");
}

TEST(Suite, RefusesExpectationsThatSayNothing) {
  const auto arm = [](const std::string& line) { return refusal(kGood + "[[arm]]\nname = \"a\"\n" + line); };
  EXPECT_THAT(arm("keys_window = 0\n"), HasSubstr("keys_window = 0 is outside 1 to"));
  EXPECT_THAT(arm("keys_window = \"64\"\n"), HasSubstr("must be an integer"));
  EXPECT_THAT(arm("expect = { control = \"rout\" }\n"), HasSubstr("did you mean 'route'?"));
  EXPECT_THAT(arm("expect = { verdict = \"pass\", control = \"route\" }\n"),
              HasSubstr("is invalid, not pass"));
  const auto figure = [&](const std::string& table) {
    return arm("expect = { verdict = \"pass\", figures = " + table + " }\n");
  };
  EXPECT_THAT(figure("[]"), HasSubstr("figures must be an array of tables"));
  EXPECT_THAT(figure("[1]"), HasSubstr("array of tables"));
  EXPECT_THAT(figure("[{ is = \"row\" }]"), HasSubstr("needs figure"));
  EXPECT_THAT(figure("[{ figure = \"layout\" }]"), HasSubstr("needs either"));
  EXPECT_THAT(figure("[{ figure = \"layout\", is = \"row\", at_most = 1 }]"), HasSubstr("needs either"));
  EXPECT_THAT(figure("[{ figure = \"mae\", at_most = \"x\" }]"), HasSubstr("must be a finite number"));
  EXPECT_THAT(figure("[{ figure = \"mae\", atmost = 1.0 }]"), HasSubstr("did you mean 'at_most'?"));
  EXPECT_THAT(arm("expect = { figures = [{ figure = \"mae\", at_most = 1 }] }\n"),
              HasSubstr("expect needs verdict"));
}

TEST(Suite, EverySuiteOfTheFolderIsRead) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator("suites")) {
    if (file.path().extension() != ".toml") continue;
    ++count;
    EXPECT_NO_THROW(load_suite(file.path())) << file.path();
  }
  EXPECT_GE(count, 6) << "run from the source folder";
}

TEST(Suite, HoldsOptionsToTheirKinds) {
  const auto probe = [](const std::string& lines) { return refusal(kGood + "[[probe]]\n" + lines); };
  EXPECT_THAT(probe("use = \"v_layout\"\nheads = \"0,0\"\n"),
              HasSubstr("heads of probe v_layout is '0,0'; it takes all, or whole numbers, each once"));
  EXPECT_THAT(probe("use = \"window_hash\"\ndims = \"2/3\"\n"), HasSubstr("one part in so many (1/16)"));
}

}  // namespace
}  // namespace greta::suites
