// Splits text into the pieces within which byte-level BPE merges ("pre-tokens").
#pragma once

#include <string_view>
#include <vector>

namespace greta {

// Llama-3's rule (`tokenizer.ggml.pre` = "llama-bpe"). The pieces, one after another, are exactly `text`. A
// byte that is not valid UTF-8 counts as U+FFFD, a symbol. Thread-safe.
std::vector<std::string_view> split_llama_bpe(std::string_view text);

}  // namespace greta
