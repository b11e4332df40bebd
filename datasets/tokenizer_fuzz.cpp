// Arbitrary bytes through the byte-level BPE of the embedded vocabulary: they must come back.
#include <cstdlib>

#include "datasets/bpe_vocabulary.hpp"
#include "datasets/vocabulary.hpp"

namespace {

const greta::Tokenizer& tokenizer() {
  static const auto instance = [] {
    const greta::BpeVocabulary made = greta::make_bpe_vocabulary(1500);
    greta::VocabularyData data;
    data.model = "gpt2";
    data.pre = "llama-bpe";
    data.tokens = made.tokens;
    data.types = made.types;
    data.merges = made.merges;
    return greta::make_tokenizer(std::move(data));
  }();
  return *instance;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const bool special : {false, true}) {
    const auto ids = tokenizer().encode(text, {.add_bos = false, .parse_special = special});
    if (tokenizer().decode(ids) != text || ids.size() > size) std::abort();
  }
  return 0;
}
