#include "engine/config.hpp"

#include <cmath>
#include <cstring>

#include "datasets/error.hpp"

namespace greta::engine {
namespace {

void require_plausible(const Config& c, const std::string& path) {
  const auto bad = [&](const char* what) {
    fail_input("{}: {}; this is not a model that can run", path, what);
  };
  if (c.layers < 1 || c.embedding < 1 || c.heads < 1 || c.feed_forward < 1 || c.context < 1)
    bad("a size in the metadata (layers, embedding, heads, feed-forward, context) is zero");
  if (c.kv_heads < 1 || c.heads % c.kv_heads != 0)
    bad("llama.attention.head_count is no multiple of head_count_kv");
  if (c.head_dim < 2 || c.head_dim % 2 != 0) bad("the head size is odd");
  if (c.rope_dims < 2 || c.rope_dims % 2 != 0 || c.rope_dims > c.head_dim)
    bad("llama.rope.dimension_count is odd or larger than the head size");
  if (!(c.norm_eps >= 0) || !std::isfinite(c.norm_eps)) bad("the norm's epsilon is negative or not finite");
  if (!(c.rope_base > 0) || !std::isfinite(c.rope_base)) bad("llama.rope.freq_base is not positive");
}

}  // namespace

Config read_config(const GgufFile& file) {
  const std::string& architecture = file.text("general.architecture");
  if (architecture != "llama")
    fail_input("{}: the architecture is '{}'; this engine runs 'llama' models only", file.path(),
               architecture);
  const std::string scaling = file.text_or("llama.rope.scaling.type", "none");
  if (scaling != "none")
    fail_input("{}: RoPE scaling '{}' is not supported; only 'none' is", file.path(), scaling);
  if (file.u32_or("llama.expert_count", 0) > 0)
    fail_input("{}: a mixture of experts is not supported; only dense models are", file.path());

  Config c;
  c.layers = file.u32("llama.block_count");
  c.embedding = file.u32("llama.embedding_length");
  c.heads = file.u32("llama.attention.head_count");
  c.kv_heads = file.u32_or("llama.attention.head_count_kv", static_cast<uint32_t>(c.heads));
  c.head_dim =
      file.u32_or("llama.attention.key_length", static_cast<uint32_t>(c.heads ? c.embedding / c.heads : 0));
  c.feed_forward = file.u32("llama.feed_forward_length");
  c.context = file.u32("llama.context_length");
  c.rope_dims = file.u32_or("llama.rope.dimension_count", static_cast<uint32_t>(c.head_dim));
  c.rope_base = file.f32_or("llama.rope.freq_base", 10000.0f);
  c.norm_eps = file.f32("llama.attention.layer_norm_rms_epsilon");
  c.vocabulary = file.tensor("token_embd.weight").rows();
  require_plausible(c, file.path());
  return c;
}

std::vector<float> rope_frequencies(const Config& config, const GgufFile& file) {
  const int64_t pairs = config.rope_dims / 2;
  std::vector<float> factors(static_cast<size_t>(pairs), 1.0f);
  if (const GgufTensor* given = file.find("rope_freqs.weight")) {
    if (given->type != GgmlType::F32 || given->rows() * given->columns() != pairs)
      fail_input("{}: rope_freqs.weight must be {} f32 values", file.path(), pairs);
    std::memcpy(factors.data(), given->data.data(), factors.size() * sizeof(float));
  }
  std::vector<float> frequencies(factors.size());
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.rope_dims);
    frequencies[i] = static_cast<float>(std::pow(config.rope_base, exponent) / factors[i]);
  }
  return frequencies;
}

}  // namespace greta::engine
