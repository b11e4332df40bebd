#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "datasets/bpe_vocabulary.hpp"
#include "datasets/error.hpp"
#include "datasets/vocabulary.hpp"

namespace greta {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

const EncodeOptions kPlain{.add_bos = false, .parse_special = true};

// a b c d ab bc abc Ġ Ġa, three specials
VocabularyData tiny() {
  VocabularyData data;
  data.model = "gpt2";
  data.pre = "llama-bpe";
  data.tokens = {"a", "b", "c", "d", "ab", "bc", "bcd", "Ġ", "Ġa", "<s>", "<e>", "<s><e>", "abcd"};
  data.types = {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 4, 1};
  data.merges = {"b c", "a b", "bc d", "Ġ a"};
  data.bos = 9;
  data.eos = 10;
  return data;
}

TEST(BpeTokenizer, MergesByRankByHand) {
  const auto tokenizer = make_tokenizer(tiny());
  EXPECT_THAT(tokenizer->encode("abc", kPlain), ElementsAre(0, 5)) << "b+c is stronger than a+b";
  EXPECT_THAT(tokenizer->encode("abab", kPlain), ElementsAre(4, 4));
  EXPECT_THAT(tokenizer->encode("bcdbc", kPlain), ElementsAre(6, 5));
  EXPECT_THAT(tokenizer->encode("a a", kPlain), ElementsAre(0, 8));
  EXPECT_THAT(tokenizer->encode("", kPlain), ElementsAre());
}

TEST(BpeTokenizer, AWholePreTokenIsTakenAsItIs) {
  EXPECT_THAT(make_tokenizer(tiny())->encode("abcd", kPlain), ElementsAre(12)) << "no merge gives abcd";
  EXPECT_THAT(make_tokenizer(tiny())->encode("aabcd", kPlain), ElementsAre(0, 0, 6));
}

TEST(BpeTokenizer, EqualPairsMergeFromTheLeft) {
  VocabularyData data = tiny();
  data.tokens.push_back("aa");
  data.types.push_back(1);
  data.merges = {"a a"};
  EXPECT_THAT(make_tokenizer(data)->encode("aaaaa", kPlain), ElementsAre(13, 13, 0));
}

TEST(BpeTokenizer, SpecialTokensComeFirst) {
  const auto tokenizer = make_tokenizer(tiny());
  EXPECT_THAT(tokenizer->encode("a<s>b<e>", kPlain), ElementsAre(0, 9, 1, 10));
  EXPECT_THAT(tokenizer->encode("<s><e><e>", kPlain), ElementsAre(11, 10)) << "the longest first";
  EXPECT_THAT(tokenizer->encode("<s><e>", {.add_bos = false, .parse_special = false}), ElementsAre(11))
      << "user-defined tokens are part of the text";
  EXPECT_THROW(tokenizer->encode("<s>", {.add_bos = false, .parse_special = false}), Error)
      << "no byte '<' here";
}

TEST(BpeTokenizer, BosAsTheMetadataSays) {
  VocabularyData data = tiny();
  EXPECT_THAT(make_tokenizer(data)->encode("a"), ElementsAre(9, 0)) << "by default, as there is one";
  EXPECT_THAT(make_tokenizer(data)->encode(""), ElementsAre(9));
  data.add_bos = false;
  EXPECT_THAT(make_tokenizer(data)->encode("a"), ElementsAre(0));
  data.add_bos.reset();
  data.bos.reset();
  EXPECT_THAT(make_tokenizer(data)->encode("a"), ElementsAre(0));
}

TEST(BpeTokenizer, OfTwoEqualTokensTheLastAndOfTwoEqualMergesTheFirstCounts) {
  VocabularyData data = tiny();
  data.tokens.push_back("b");
  data.types.push_back(1);
  data.merges = {"b c", "a b", "b c"};
  EXPECT_THAT(make_tokenizer(data)->encode("bb", kPlain), ElementsAre(13, 13));
  EXPECT_THAT(make_tokenizer(data)->encode("aabc", kPlain), ElementsAre(0, 0, 5));
  EXPECT_EQ(make_tokenizer(data)->decode(Ids{1, 13}), "bb");
}

std::string error_of(VocabularyData data) {
  try {
    make_tokenizer(std::move(data));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "no error";
}

template <typename Change>
std::string error_after(const Change& change) {
  VocabularyData data = tiny();
  change(data);
  return error_of(data);
}

TEST(BpeTokenizer, MalformedVocabularies) {
  using Data = VocabularyData;
  EXPECT_EQ(error_of(tiny()), "no error");
  EXPECT_THAT(error_after([](Data& d) { d.model = "bert"; }), HasSubstr("unknown tokenizer model 'bert'"));
  EXPECT_THAT(error_after([](Data& d) { d.pre = ""; }), HasSubstr("unknown pre-tokenizer ''"));
  EXPECT_THAT(error_after([](Data& d) { d.tokens.clear(); }), HasSubstr("no tokens"));
  EXPECT_THAT(error_after([](Data& d) { d.types.pop_back(); }), HasSubstr("13 tokens but 12 token types"));
  EXPECT_THAT(error_after([](Data& d) { d.scores = {1, 2}; }), HasSubstr("13 tokens but 2 scores"));
  EXPECT_THAT(error_after([](Data& d) { d.types[3] = 7; }), HasSubstr("token 3 has type 7"));
  EXPECT_THAT(error_after([](Data& d) { d.bos = 13; }), HasSubstr("BOS token's id is 13"));
  EXPECT_THAT(error_after([](Data& d) { d.eos = -1; }), HasSubstr("EOS token's id is -1"));
  EXPECT_THAT(error_after([](Data& d) { d.merges[1] = "ab"; }),
              HasSubstr("merge 1 ('ab') is not two tokens"));
  EXPECT_THAT(error_after([](Data& d) { d.merges[1] = ""; }), HasSubstr("merge 1 ('') is not two tokens"));
  EXPECT_THAT(error_after([](Data& d) { d.merges[0] = "a z"; }), HasSubstr("needs the token 'az'"));
  EXPECT_THAT(error_after([](Data& d) { d.merges[0] = "a d"; }), HasSubstr("needs the token 'ad'"));
  EXPECT_THAT(error_after([](Data& d) {
                d.add_bos = true;
                d.bos.reset();
              }),
              HasSubstr("wants a BOS token"));
}

TEST(BpeTokenizer, ForeignIdsAreErrors) {
  const auto tokenizer = make_tokenizer(tiny());
  EXPECT_THROW(tokenizer->decode(Ids{13}), Error);
  EXPECT_THROW(tokenizer->decode(Ids{-1}), Error);
}

class TrainedBpe : public testing::Test {
 protected:
  static VocabularyData trained(int32_t size) {
    const BpeVocabulary made = make_bpe_vocabulary(size);
    VocabularyData data;
    data.model = "gpt2";
    data.pre = "llama-bpe";
    data.tokens = made.tokens;
    data.types = made.types;
    data.merges = made.merges;
    data.bos = made.bos;
    data.eos = made.eos;
    return data;
  }
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(trained(3001));
};

TEST_F(TrainedBpe, SpecialTokensOfTheChatForm) {
  const Ids ids = tokenizer->encode("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>");
  EXPECT_EQ(ids.front(), 2996) << "<|begin_of_text|>";
  EXPECT_EQ(ids[1], 2998);
  EXPECT_EQ(ids[3], 2999);
  EXPECT_EQ(ids.back(), 3000);
  EXPECT_EQ(tokenizer->decode(ids),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>");
  EXPECT_GT(tokenizer->encode("<|eot_id|>", {.add_bos = false, .parse_special = false}).size(), 1u);
}

TEST_F(TrainedBpe, TheTrainingTextComesBackInFewTokens) {
  const Ids ids = tokenizer->encode(bpe_corpus(), kPlain);
  EXPECT_EQ(tokenizer->decode(ids), bpe_corpus());
  EXPECT_LT(ids.size(), bpe_corpus().size() / 3);
}

uint64_t fresh_seed() {
  const char* fixed = std::getenv("GRETA_TEST_SEED");
  return fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device()();
}

TEST_F(TrainedBpe, RandomBytesAndRandomTextComeBack) {
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(seed);
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> parts = {"a",    "'s",       " ", "\n",     "\r",     "\t",         "123",
                                          "é",    "日",       "😀", "\u0301", "\u2028", "<|eot_id|>", "<|eot",
                                          "\xFF", "\xE6\x97", "Ġ", "word",   "."};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint64_t left = random() % 40; left > 0; --left) {
      text += random() % 3 ? parts[random() % parts.size()] : std::string(1, static_cast<char>(random()));
    }
    const Ids ids = tokenizer->encode(text, {.add_bos = false, .parse_special = random() % 2 == 0});
    ASSERT_EQ(tokenizer->decode(ids), text) << "round " << round;
  }
}

// The merging loop against its definition: apply the strongest merge anywhere, again and again.
TEST_F(TrainedBpe, AgreesWithTheDefinitionWordByWord) {
  const VocabularyData data = trained(1500);
  const auto small = make_tokenizer(data);
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::string word;
    for (uint64_t left = 1 + random() % 12; left > 0; --left)
      word.push_back(static_cast<char>('a' + random() % 26));
    std::vector<std::string> symbols;
    for (const char letter : word) symbols.emplace_back(1, letter);
    for (bool merged = true; merged;) {
      merged = false;
      for (const std::string& merge : data.merges) {
        for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
          if (symbols[i] + " " + symbols[i + 1] != merge) continue;
          symbols[i] += symbols[i + 1];
          symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
          merged = true;
        }
        if (merged) break;
      }
    }
    std::vector<std::string> encoded;
    for (const int32_t id : small->encode(word, kPlain)) encoded.push_back(small->decode(Ids{id}));
    const bool whole = std::find(data.tokens.begin(), data.tokens.end(), word) != data.tokens.end();
    ASSERT_EQ(encoded, whole ? std::vector<std::string>{word} : symbols) << word;
  }
}

TEST_F(TrainedBpe, AVeryLongWordIsNoTrouble) {
  const std::string word(500'000, 'e');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(word, kPlain)), word);
}

}  // namespace
}  // namespace greta
