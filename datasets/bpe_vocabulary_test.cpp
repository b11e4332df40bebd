#include "datasets/bpe_vocabulary.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "datasets/byte_alphabet.hpp"
#include "datasets/error.hpp"

namespace greta {
namespace {

TEST(BpeVocabulary, SizesAreExactAndTokensDistinct) {
  for (const int32_t size : {261, 300, 512, 3001, 32000, 128256}) {
    SCOPED_TRACE(size);
    const BpeVocabulary vocabulary = make_bpe_vocabulary(size);
    ASSERT_EQ(vocabulary.tokens.size(), static_cast<size_t>(size));
    ASSERT_EQ(vocabulary.types.size(), static_cast<size_t>(size));
    const std::set<std::string> distinct(vocabulary.tokens.begin(), vocabulary.tokens.end());
    EXPECT_EQ(distinct.size(), static_cast<size_t>(size));
    EXPECT_EQ(vocabulary.tokens[vocabulary.bos], "<|begin_of_text|>");
    EXPECT_EQ(vocabulary.tokens[vocabulary.eos], "<|end_of_text|>");
    EXPECT_EQ(vocabulary.tokens[vocabulary.eot], "<|eot_id|>");
    for (const int32_t id : {vocabulary.bos, vocabulary.eos, vocabulary.eot})
      EXPECT_EQ(vocabulary.types[id], 3);
  }
}

TEST(BpeVocabulary, TooSmallIsAnError) {
  EXPECT_THROW(make_bpe_vocabulary(260), Error);
  EXPECT_THROW(make_bpe_vocabulary(-1), Error);
}

TEST(BpeVocabulary, BytesComeFirstInGpt2Order) {
  const BpeVocabulary vocabulary = make_bpe_vocabulary(261);
  EXPECT_TRUE(vocabulary.merges.empty());
  EXPECT_EQ(vocabulary.tokens[0], "!");
  EXPECT_EQ(vocabulary.tokens[93], "~");
  EXPECT_EQ(vocabulary.tokens[94], "¡");
  EXPECT_EQ(vocabulary.tokens[187], "ÿ");
  EXPECT_EQ(vocabulary.tokens[188], "Ā") << "byte 0";
  EXPECT_EQ(vocabulary.tokens[220], "Ġ") << "the space";
}

// A smaller vocabulary is the start of a larger one, and every merge builds a token from two earlier ones.
TEST(BpeVocabulary, MergesBuildTheTokens) {
  const BpeVocabulary small = make_bpe_vocabulary(600), large = make_bpe_vocabulary(3001);
  for (size_t i = 0; i < small.merges.size(); ++i) ASSERT_EQ(small.merges[i], large.merges[i]);
  std::set<std::string> known(large.tokens.begin(), large.tokens.begin() + 256);
  for (const std::string& merge : large.merges) {
    const size_t space = merge.find(' ');
    ASSERT_NE(space, std::string::npos) << merge;
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    ASSERT_TRUE(known.count(left) && known.count(right)) << merge;
    known.insert(left + right);
  }
  EXPECT_EQ(large.merges.front(), "Ġ t") << "the commonest pair of English text";
  int reserved = 0;
  for (const int32_t type : large.types) reserved += type == 5;
  EXPECT_EQ(known.size() + reserved + 5, large.tokens.size());
  EXPECT_LT(reserved, 300) << "the text is long enough for the default model";
  RecordProperty("reserved", reserved);
}

TEST(BpeVocabulary, IsQuick) {
  const auto start = std::chrono::steady_clock::now();
  make_bpe_vocabulary(128256);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << "sanitizers included";
}

TEST(ByteAlphabet, IsAOneToOneMapOfAllBytes) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(from_alphabet(to_alphabet(all)), all);
  EXPECT_EQ(to_alphabet(std::string("a b\n\0", 5)), "aĠbĊĀ");
  EXPECT_EQ(to_alphabet("é"), "Ã©");
  EXPECT_EQ(alphabet_text(0xAD), "Ń") << "the last of the 68 shifted bytes is U+0143";
  EXPECT_EQ(from_alphabet("日"), "日") << "not of the alphabet: kept";
}

}  // namespace
}  // namespace greta
