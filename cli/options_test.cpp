#include "cli/options.hpp"

#include <gtest/gtest.h>

#include "datasets/error.hpp"

namespace greta::cli {
namespace {

Options example() {
  Options options("greta x [FILE] [flags]", "An example.", 0, 1);
  options.flag("model,m", "PATH", "a model").flag("seed", "N", "a seed").flag("force,f", "", "a switch");
  options.flag("prompt,p", "SPEC", "prompts", true).flag("scale", "X", "a number");
  return options;
}

std::string why_not(const std::vector<std::string>& arguments) {
  try {
    const Given given = example().parse(arguments);
    given.seed("seed");
    given.real("scale");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "it was taken";
}

TEST(Options, TakesWhatItKnows) {
  const Given given = example().parse(
      {"file", "--model=a b", "-f", "-p", "one", "--prompt", "two", "--seed", "18446744073709551615"});
  EXPECT_EQ(given.positional(), std::vector<std::string>{"file"});
  EXPECT_EQ(given.text("model"), "a b");
  EXPECT_TRUE(given.has("force"));
  EXPECT_EQ(given.texts("prompt"), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(given.seed("seed"), 18446744073709551615u);
  EXPECT_FALSE(given.has("scale"));
}

TEST(Options, NamesTheNearestFlag) {
  EXPECT_EQ(why_not({"--modle", "x"}), "unknown flag '--modle'; did you mean '--model'?");
  EXPECT_EQ(why_not({"--modle=x"}), "unknown flag '--modle'; did you mean '--model'?");
  EXPECT_EQ(why_not({"--mod", "x"}), "unknown flag '--mod'; did you mean '--model'?") << "no guessing";
}

TEST(Options, RefusesWhatItCannotUse) {
  EXPECT_EQ(why_not({"--model"}), "--model: a value is missing");
  EXPECT_EQ(why_not({"--model="}), "--model: a value is missing");
  EXPECT_EQ(why_not({"--seed", "1", "--seed", "2"}), "--seed is given 2 times");
  EXPECT_EQ(why_not({"--seed", "1x"}), "--seed wants a whole number from 0 to 2^64-1, not '1x'");
  EXPECT_EQ(why_not({"--seed=-1"}), "--seed wants a whole number from 0 to 2^64-1, not '-1'");
  EXPECT_EQ(why_not({"--scale", "nan"}), "--scale wants a number above 0, not 'nan'");
  EXPECT_EQ(why_not({"--force=1"}), "--force: takes no value");
  EXPECT_EQ(why_not({"a", "b"}), "what is 'b' for? usage: greta x [FILE] [flags]");
}

TEST(Options, HelpListsEveryFlag) {
  const std::string help = example().help();
  for (const char* text : {"usage: greta x", "-m, --model PATH", "--seed N", "-f, --force", "-h, --help"})
    EXPECT_NE(help.find(text), std::string::npos) << text;
}

TEST(Options, ChoiceNamesTheNearestValue) {
  EXPECT_EQ(choice("--wave", "64", {"64", "32"}), "64");
  EXPECT_THROW(choice("--wave", "65", {"64", "32"}), Error);
}

}  // namespace
}  // namespace greta::cli
