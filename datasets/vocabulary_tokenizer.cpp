#include "datasets/vocabulary_tokenizer.hpp"

#include <limits>

#include "datasets/error.hpp"
#include "datasets/gguf_names.hpp"

namespace greta {
namespace {

void check_id(const VocabularyData& data, std::string_view role, std::optional<int32_t> id) {
  if (!id || (*id >= 0 && static_cast<size_t>(*id) < data.tokens.size())) return;
  fail_input("{}: the {} token's id is {}, but there are {} tokens", data.name, role, *id,
             data.tokens.size());
}

VocabularyData checked(VocabularyData data) {
  const size_t count = data.tokens.size();
  if (count == 0) fail_input("{}: the vocabulary has no tokens", data.name);
  if (count > std::numeric_limits<int32_t>::max()) fail_input("{}: {} tokens are too many", data.name, count);
  if (!data.scores.empty() && data.scores.size() != count) {
    fail_input("{}: {} tokens but {} scores", data.name, count, data.scores.size());
  }
  if (!data.types.empty() && data.types.size() != count) {
    fail_input("{}: {} tokens but {} token types", data.name, count, data.types.size());
  }
  for (size_t id = 0; id < data.types.size(); ++id) {
    if (data.types[id] < 1 || data.types[id] > 6) {
      fail_input("{}: token {} has type {}; GGUF knows 1 to 6", data.name, id, data.types[id]);
    }
  }
  check_id(data, "BOS", data.bos);
  check_id(data, "EOS", data.eos);
  check_id(data, "unknown", data.unknown);
  if (data.add_bos.value_or(false) && !data.bos) {
    fail_input("{}: wants a BOS token before each text but names none (tokenizer.ggml.bos_token_id)",
               data.name);
  }
  return data;
}

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(VocabularyData data)
    : data_(checked(std::move(data))), special_(data_) {}

std::vector<int32_t> VocabularyTokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_bos && data_.bos && data_.add_bos.value_or(true)) ids.push_back(*data_.bos);
  bool first = true;
  for (const Fragment& fragment : special_.split(text, options.parse_special)) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
    } else {
      encode_text(fragment.text, first, ids);
    }
    first = fragment.id >= 0;
  }
  return ids;
}

TokenType VocabularyTokenizer::checked_type(int32_t id) const {
  if (id < 0 || id >= size()) fail_input("token {} is outside the vocabulary of {} tokens", id, size());
  return data_.type(id);
}

bool VocabularyTokenizer::is_text(size_t id) const {
  return data_.type(id) != TokenType::control && data_.type(id) != TokenType::unknown;
}

std::unique_ptr<Tokenizer> make_tokenizer(VocabularyData data) {
  if (data.model == "gpt2") return make_bpe_tokenizer(std::move(data));
  if (data.model == "llama") return make_spm_tokenizer(std::move(data));
  fail_input("{}: unknown tokenizer model '{}'; 'gpt2' and 'llama' are supported", data.name,
             printable(data.model));
}

}  // namespace greta
