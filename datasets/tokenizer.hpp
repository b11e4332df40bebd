// Text to token ids and back, from the vocabulary that a GGUF file carries.
// `tokenizer.ggml.model` = "gpt2": byte-level BPE (pre-tokenizer "llama-bpe"); = "llama":
// SentencePiece-style.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/gguf.hpp"

namespace greta {

struct EncodeOptions {
  bool add_bos = true;        // as far as the model's own metadata wants one
  bool parse_special = true;  // "<|eot_id|>" in the text becomes that token
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Errors (bad_input): a missing or malformed vocabulary, an unknown tokenizer model or pre-tokenizer.
  static std::unique_ptr<Tokenizer> from(const GgufFile&);

  // Any bytes will do, valid UTF-8 or not. No EOS is ever added: a prompt is there to be continued.
  // Error (bad_input): the text needs a byte for which the vocabulary has no token.
  virtual std::vector<int32_t> encode(std::string_view text, EncodeOptions = {}) const = 0;
  // Special tokens as their own text. Without BOS, decode(encode(s)) == s: for gpt2 whatever s is; for llama
  // (with byte tokens) unless s holds U+2581, its space; the space that encode put first is taken off again.
  // Error (bad_input): a foreign id.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual int32_t size() const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
};

}  // namespace greta
