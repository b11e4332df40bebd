#include "datasets/pre_tokenizer.hpp"

#include <gmock/gmock.h>

#include <string>

namespace greta {
namespace {

using testing::ElementsAre;

// Each expectation follows from the published rule, alternative by alternative.
TEST(LlamaBpe, WordsTakeOneSpaceAlong) {
  EXPECT_THAT(split_llama_bpe(""), ElementsAre());
  EXPECT_THAT(split_llama_bpe("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(split_llama_bpe("a  b"), ElementsAre("a", " ", " b"));
  EXPECT_THAT(split_llama_bpe("(yes) .no"), ElementsAre("(yes", ")", " .", "no"))
      << "one symbol leads a word";
  EXPECT_THAT(split_llama_bpe("a\tb\t\tc"), ElementsAre("a", "\tb", "\t", "\tc"));
}

TEST(LlamaBpe, ContractionsInAnyCase) {
  EXPECT_THAT(split_llama_bpe("I'll don't WE'RE"), ElementsAre("I", "'ll", " don", "'t", " WE", "'RE"));
  EXPECT_THAT(split_llama_bpe("it'store"), ElementsAre("it", "'s", "tore"))
      << "no word boundary is asked for";
  EXPECT_THAT(split_llama_bpe("'quoted'"), ElementsAre("'quoted", "'"));
}

TEST(LlamaBpe, DigitsInThreesFromTheLeft) {
  EXPECT_THAT(split_llama_bpe("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(split_llama_bpe("in 2024."), ElementsAre("in", " ", "202", "4", "."));
  EXPECT_THAT(split_llama_bpe("x1y"), ElementsAre("x", "1", "y"));
  EXPECT_THAT(split_llama_bpe("٣٤٥٦ Ⅷ½"), ElementsAre("٣٤٥", "٦", " ", "Ⅷ½")) << "any Unicode number";
}

TEST(LlamaBpe, LineEndsAndTrailingSpaces) {
  EXPECT_THAT(split_llama_bpe("a\n\nb"), ElementsAre("a", "\n\n", "b"));
  EXPECT_THAT(split_llama_bpe("a \n \n  b"), ElementsAre("a", " \n \n", " ", " b"))
      << "up to the last line end";
  EXPECT_THAT(split_llama_bpe("end;\r\n\nnext"), ElementsAre("end", ";\r\n\n", "next"))
      << "symbols take line ends";
  EXPECT_THAT(split_llama_bpe("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(split_llama_bpe("   a"), ElementsAre("  ", " a"));
  EXPECT_THAT(split_llama_bpe("a   1"), ElementsAre("a", "  ", " ", "1")) << "a space does not join digits";
}

TEST(LlamaBpe, OtherScripts) {
  EXPECT_THAT(split_llama_bpe("¿Qué niño?"), ElementsAre("¿Qué", " niño", "?"));
  EXPECT_THAT(split_llama_bpe("东京 日本。"), ElementsAre("东京", " 日本", "。"));
  EXPECT_THAT(split_llama_bpe("hi 😀🚀!"), ElementsAre("hi", " 😀🚀!"));
  // A combining mark is no letter: it ends the word, and then leads the next.
  EXPECT_THAT(split_llama_bpe("cafe\u0301s x"), ElementsAre("cafe", "\u0301s", " x"));
  EXPECT_THAT(split_llama_bpe("a\u3000b"), ElementsAre("a", "\u3000b"))
      << "an ideographic space leads like any other";
  EXPECT_THAT(split_llama_bpe("a\u00A0\u2003b"), ElementsAre("a", "\u00A0", "\u2003b"));
  EXPECT_THAT(split_llama_bpe("1\u180E2"), ElementsAre("1", "\u180E", "2"));
  EXPECT_THAT(split_llama_bpe(" \u180E!"), ElementsAre(" \u180E!"))
      << "U+180E is no white space since Unicode 6.3";
}

TEST(LlamaBpe, InvalidBytesAreSymbols) {
  EXPECT_THAT(split_llama_bpe("a \xFF\xFE!b"), ElementsAre("a", " \xFF\xFE!", "b"));
  EXPECT_THAT(split_llama_bpe("a\xE6\x97"), ElementsAre("a", "\xE6\x97")) << "a cut character";
  EXPECT_THAT(split_llama_bpe("\xC0\xAFx"), ElementsAre("\xC0\xAF", "x")) << "an overlong form";
  EXPECT_THAT(split_llama_bpe("\xFFword"), ElementsAre("\xFFword"));
  const std::string nul("a\0b", 3);
  EXPECT_THAT(split_llama_bpe(nul), ElementsAre("a", std::string("\0b", 2)));
}

TEST(LlamaBpe, LongRunsTakeLinearTime) {
  const std::string spaces(2'000'000, ' ');
  EXPECT_THAT(split_llama_bpe(spaces), ElementsAre(spaces));
  EXPECT_EQ(split_llama_bpe(spaces + "x").size(), 2u);
  EXPECT_EQ(split_llama_bpe(std::string(2'000'000, 'x')).size(), 1u);
  EXPECT_EQ(split_llama_bpe(std::string(300'000, '1')).size(), 100'000u);
}

}  // namespace
}  // namespace greta
