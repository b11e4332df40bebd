// What both tokenizer models share: special tokens, BOS, ids in range. Built through make_tokenizer
// (vocabulary.hpp).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "datasets/special_tokens.hpp"
#include "datasets/vocabulary.hpp"

namespace greta {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using TextIds = std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>>;

class VocabularyTokenizer : public Tokenizer {
 public:
  explicit VocabularyTokenizer(VocabularyData);

  std::vector<int32_t> encode(std::string_view text, EncodeOptions = {}) const override;
  int32_t size() const override { return static_cast<int32_t>(data_.tokens.size()); }
  std::optional<int32_t> bos() const override { return data_.bos; }
  std::optional<int32_t> eos() const override { return data_.eos; }

 protected:
  // Appends the ids of text without special tokens; `first`: at the start or behind a special token.
  virtual void encode_text(std::string_view text, bool first, std::vector<int32_t>& ids) const = 0;

  const VocabularyData& data() const { return data_; }
  // The type of a token that decode was given. Error (bad_input): not an id of this vocabulary.
  TokenType checked_type(int32_t id) const;
  // Control and unknown tokens are not reached by merging.
  bool is_text(size_t id) const;

 private:
  VocabularyData data_;
  SpecialTokens special_;
};

std::unique_ptr<Tokenizer> make_bpe_tokenizer(VocabularyData);
std::unique_ptr<Tokenizer> make_spm_tokenizer(VocabularyData);

}  // namespace greta
