// Prompts: the built-in four, a text file, literal text, token ids, or as many random tokens as wanted.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/tokenizer.hpp"

namespace greta {

struct Prompt {
  std::string id;    // "p0_short"; a file's stem; "tokens" or "text" plus a short digest; "random-511"
  std::string text;  // empty for token ids
  std::vector<int32_t> tokens;
};

struct BuiltinPrompt {
  std::string_view id;
  std::string_view text;
  std::string_view doc;
};
std::span<const BuiltinPrompt> builtin_prompts();

// `spec` is a built-in's id, "file:PATH" (or any spec with a '/' in it), "text:WORDS", "tokens:1,2,3" or
// "random:N": N tokens of the vocabulary that follow from `seed` alone, the same on every machine, to fill a
// context to the position.
// Never guessed: an unknown id is an error (usage) with the nearest right one, an unreadable file is
// (bad_input), an empty prompt or a token id outside the vocabulary likewise. The context length is checked
// by the plan, not here. A file is read as it is, NUL and invalid UTF-8 included, up to 64 MiB. BOS comes
// first where the model wants one, but never before token ids. "p6_long" has 200 to 260 tokens with the
// synthetic models' vocabulary of 3001.
Prompt load_prompt(std::string_view spec, const Tokenizer&, uint64_t seed = 1);

}  // namespace greta
