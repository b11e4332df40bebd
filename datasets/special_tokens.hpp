// Finds special tokens in raw text before a tokenizer sees it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "datasets/vocabulary.hpp"

namespace greta {

// A special token, or text between two (id -1, never empty).
struct Fragment {
  std::string_view text;
  int32_t id = -1;
};

class SpecialTokens {
 public:
  explicit SpecialTokens(const VocabularyData&);

  // User-defined tokens are always found; control and unknown ones when `control` is set. The longest wins
  // wherever tokens overlap, among equals the smaller id, then the first in the text (llama.cpp's order).
  std::vector<Fragment> split(std::string_view text, bool control) const;

 private:
  struct Token {
    int32_t id;
    bool always;
  };
  std::unordered_map<std::string, Token> tokens_;
  std::array<std::vector<size_t>, 256> lengths_;  // by first byte
};

}  // namespace greta
