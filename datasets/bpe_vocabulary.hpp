// The byte-level BPE vocabulary of synthetic models: trained, on every call, on a short text of ours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace greta {

struct BpeVocabulary {
  std::vector<std::string>
      tokens;  // GPT-2's byte alphabet (datasets/byte_alphabet.hpp); special ones as plain text
  std::vector<int32_t> types;       // GGUF's token types, one a token: 1 normal, 3 control, 5 unused
  std::vector<std::string> merges;  // "left right", the first is the strongest
  int32_t bos, eos, eot;            // <|begin_of_text|>, <|end_of_text|>, <|eot_id|>
};

// Exactly `size` tokens: the 256 bytes in GPT-2's order, one token a merge (Sennrich et al. 2016: the most
// frequent pair, ties to the smaller bytes), unused <|reserved_special_token_N|> when the text gives no more,
// and last the five special tokens of Llama-3's chat form. The same on every machine. Errors (usage): a size
// under 261 (bytes and special tokens) or over 2^24.
BpeVocabulary make_bpe_vocabulary(int32_t size);

// What it is trained on: English, Spanish, code, numbers and some other scripts.
std::string_view bpe_corpus();

}  // namespace greta
