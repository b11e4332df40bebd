// A vocabulary as plain data, as a GGUF file's `tokenizer.ggml.*` keys hold it, and the tokenizer built from
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/tokenizer.hpp"

namespace greta {

// GGUF's numbering (`tokenizer.ggml.token_type`).
enum class TokenType : int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

struct VocabularyData {
  std::string name = "the vocabulary";  // a file's path: error sentences begin with it
  std::string model;                    // "gpt2" or "llama"
  std::string pre;                      // gpt2 only: "llama-bpe" (also spelled "llama3", "llama-v3")
  std::vector<std::string> tokens;
  std::vector<double> scores;       // llama: one a token; gpt2: empty or one a token, not used
  std::vector<int32_t> types;       // TokenType; empty: all normal
  std::vector<std::string> merges;  // gpt2: "left right", the first is the strongest; llama: not used
  std::optional<int32_t> bos, eos, unknown;
  std::optional<bool> add_bos;   // absent: true when there is a `bos`
  bool add_space_prefix = true;  // llama only

  TokenType type(size_t id) const { return types.empty() ? TokenType::normal : TokenType{types[id]}; }
};

// A text that several tokens carry belongs to the last of them, a merge that stands twice has its first rank
// (both as in llama.cpp). Errors (bad_input): an unknown model or pre-tokenizer, no tokens, lists of
// different lengths, an unknown token type, an id outside the vocabulary, `add_bos` without a `bos`, a merge
// that names or gives a token that is not there, a score that is not a number, a llama vocabulary with
// neither the 256 byte tokens nor an unknown token.
std::unique_ptr<Tokenizer> make_tokenizer(VocabularyData);

}  // namespace greta
