#include "datasets/prompts.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "datasets/bpe_vocabulary.hpp"
#include "datasets/error.hpp"
#include "datasets/vocabulary.hpp"

namespace greta {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Tokenizer> default_tokenizer() {
  const BpeVocabulary made = make_bpe_vocabulary(3001);
  VocabularyData data;
  data.model = "gpt2";
  data.pre = "llama-bpe";
  data.tokens = made.tokens;
  data.types = made.types;
  data.merges = made.merges;
  data.bos = made.bos;
  return make_tokenizer(std::move(data));
}

class Prompts : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder / name, std::ios::binary) << bytes;
    return (folder / name).string();
  }
  void expect_error(const std::string& spec, ExitCode code, const std::string& part) const {
    SCOPED_TRACE(spec);
    try {
      load_prompt(spec, *tokenizer);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  const std::unique_ptr<Tokenizer> tokenizer = default_tokenizer();
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("greta_prompts_" + std::to_string(getpid()));
};

TEST_F(Prompts, TheBuiltInOnes) {
  ASSERT_EQ(builtin_prompts().size(), 4u);
  for (const BuiltinPrompt& builtin : builtin_prompts()) {
    const Prompt prompt = load_prompt(builtin.id, *tokenizer);
    EXPECT_EQ(prompt.id, builtin.id);
    EXPECT_EQ(prompt.text, builtin.text);
    EXPECT_EQ(tokenizer->decode(prompt.tokens), "<|begin_of_text|>" + prompt.text);
  }
  EXPECT_EQ(load_prompt("p0_short", *tokenizer).tokens.size(), 2u) << "BOS and one word";
  const Prompt chat = load_prompt("p4_sys", *tokenizer);
  EXPECT_EQ(std::count(chat.tokens.begin(), chat.tokens.end(), 3000), 2) << "<|eot_id|>";
}

TEST_F(Prompts, TheLongOneHas200To260Tokens) {
  const size_t tokens = load_prompt("p6_long", *tokenizer).tokens.size();
  EXPECT_GE(tokens, 200u);
  EXPECT_LE(tokens, 260u);
}

TEST_F(Prompts, AFileIsReadAsItIs) {
  const std::string bytes("a\0b\xFF\r\n <|eot_id|> \n", 20);
  const std::string path = write("my.prompt.txt", bytes);
  for (const std::string& spec : {path, "file:" + path}) {
    const Prompt prompt = load_prompt(spec, *tokenizer);
    EXPECT_EQ(prompt.id, "my.prompt");
    EXPECT_EQ(prompt.text, bytes);
    EXPECT_EQ(tokenizer->decode(prompt.tokens), "<|begin_of_text|>" + bytes);
  }
}

TEST_F(Prompts, TextAndTokens) {
  const Prompt text = load_prompt("text:Hi", *tokenizer);
  EXPECT_EQ(text.tokens, load_prompt("p0_short", *tokenizer).tokens);
  EXPECT_THAT(text.id, testing::MatchesRegex("text-[0-9a-f]+"));
  EXPECT_NE(text.id, load_prompt("text:Ho", *tokenizer).id);
  EXPECT_EQ(load_prompt("text:a/b", *tokenizer).text, "a/b") << "no file";
  const Prompt tokens = load_prompt("tokens:3000,0,17", *tokenizer);
  EXPECT_THAT(tokens.tokens, ElementsAre(3000, 0, 17)) << "no BOS is added";
  EXPECT_TRUE(tokens.text.empty());
  EXPECT_THAT(tokens.id, testing::MatchesRegex("tokens-[0-9a-f]+"));
}

TEST_F(Prompts, RandomTokensFollowFromTheSeed) {
  const Prompt a = load_prompt("random:511", *tokenizer, 7);
  EXPECT_EQ(a.id, "random-511");
  ASSERT_EQ(a.tokens.size(), 511u);
  EXPECT_EQ(a.tokens, load_prompt("random:511", *tokenizer, 7).tokens);
  EXPECT_NE(a.tokens, load_prompt("random:511", *tokenizer, 8).tokens);
  const Prompt start = load_prompt("random:3", *tokenizer, 7);
  EXPECT_TRUE(std::equal(start.tokens.begin(), start.tokens.end(), a.tokens.begin()))
      << "a start of the longer one";
  // SplitMix64 of seed 1 begins with 0x910a2dec89025cc1 on every machine.
  EXPECT_EQ(load_prompt("random:1", *tokenizer).tokens.front(),
            static_cast<int32_t>(0x910a2dec89025cc1 % 3001));
  const auto [least, most] = std::minmax_element(a.tokens.begin(), a.tokens.end());
  EXPECT_GE(*least, 0);
  EXPECT_LT(*most, 3001);
  EXPECT_LT(*least, 300);
  EXPECT_GT(*most, 2700);
}

TEST_F(Prompts, ErrorsAreNamed) {
  expect_error("p4_sis", ExitCode::usage, "did you mean 'p4_sys'?");
  expect_error("", ExitCode::usage, "unknown prompt ''");
  expect_error("file:", ExitCode::usage, "needs a path");
  expect_error("file:" + folder.string() + "/none", ExitCode::bad_input, "No such file");
  expect_error(folder.string(), ExitCode::bad_input, "is a directory");
  expect_error(write("empty", ""), ExitCode::bad_input, "is empty");
  expect_error("text:", ExitCode::bad_input, "is empty");
  expect_error("tokens:", ExitCode::bad_input, "is empty");
  expect_error("tokens:1,x", ExitCode::usage, "not a list of token ids");
  expect_error("tokens:1,,2", ExitCode::usage, "not a list of token ids");
  expect_error("tokens:1,", ExitCode::usage, "not a list of token ids");
  expect_error("tokens:1, 2", ExitCode::usage, "not a list of token ids");
  for (const char* wrong : {"random:", "random:0", "random:-3", "random:12x", "random:99999999999"})
    expect_error(wrong, ExitCode::usage, "is no number of tokens");
  expect_error("tokens:3001", ExitCode::bad_input, "token id 3001 of the prompt is outside");
  expect_error("tokens:-1", ExitCode::bad_input, "token id -1 of the prompt is outside");
  expect_error("tokens:99999999999999999999", ExitCode::bad_input, "token id 99999999999999999999");
}

}  // namespace
}  // namespace greta
