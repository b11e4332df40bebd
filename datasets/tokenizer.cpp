#include "datasets/tokenizer.hpp"

#include <algorithm>
#include <cmath>

#include "datasets/error.hpp"
#include "datasets/vocabulary.hpp"

namespace greta {
namespace {

std::optional<int32_t> id_at(const GgufFile& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  return static_cast<int32_t>(
      std::min<uint32_t>(file.u32(key), INT32_MAX));  // make_tokenizer holds it against the size
}

std::vector<int32_t> types_in(const GgufFile& file) {
  std::vector<int32_t> types;
  if (!file.has("tokenizer.ggml.token_type")) return types;
  for (const double type : file.numbers("tokenizer.ggml.token_type")) {
    const bool known = type >= 1 && type <= 6 && type == std::floor(type);
    types.push_back(known ? static_cast<int32_t>(type) : 0);
  }
  return types;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from(const GgufFile& file) {
  VocabularyData data;
  data.name = file.path();
  data.model = file.text("tokenizer.ggml.model");
  data.tokens = file.texts("tokenizer.ggml.tokens");
  data.types = types_in(file);
  if (file.has("tokenizer.ggml.scores")) data.scores = file.numbers("tokenizer.ggml.scores");
  if (data.model == "gpt2") {
    data.pre = file.text("tokenizer.ggml.pre");
    data.merges = file.texts("tokenizer.ggml.merges");
  }
  data.bos = id_at(file, "tokenizer.ggml.bos_token_id");
  data.eos = id_at(file, "tokenizer.ggml.eos_token_id");
  data.unknown = id_at(file, "tokenizer.ggml.unknown_token_id");
  if (file.has("tokenizer.ggml.add_bos_token"))
    data.add_bos = file.boolean_or("tokenizer.ggml.add_bos_token", true);
  data.add_space_prefix = file.boolean_or("tokenizer.ggml.add_space_prefix", true);
  return make_tokenizer(std::move(data));
}

}  // namespace greta
