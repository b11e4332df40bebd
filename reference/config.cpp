#include "reference/config.hpp"

#include <fmt/format.h>

#include <cmath>

#include "datasets/error.hpp"
#include "reference/dequantise.hpp"

namespace greta::reference {
namespace {

void need(bool holds, const GgufFile& file, std::string_view what) {
  if (!holds) fail_input("{}: not a Llama model that the reference can run: {}", file.path(), what);
}

void need_tensor(const GgufFile& file, const std::string& name, int64_t rows, int64_t columns) {
  const auto& tensor = file.tensor(name);
  if (tensor.rows() != rows || tensor.columns() != columns)
    fail_input("{}: tensor {} is [{}, {}], {} rows of {} were expected", file.path(), name, tensor.rows(),
               tensor.columns(), rows, columns);
}

void need_tensors(const GgufFile& file, const Config& c) {
  need_tensor(file, "token_embd.weight", c.vocabulary, c.embedding);
  need_tensor(file, "output_norm.weight", 1, c.embedding);
  if (!c.tied_output) need_tensor(file, "output.weight", c.vocabulary, c.embedding);
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  for (int layer = 0; layer < c.layers; ++layer) {
    need_tensor(file, layer_weight(layer, "attn_norm"), 1, c.embedding);
    need_tensor(file, layer_weight(layer, "attn_q"), q, c.embedding);
    need_tensor(file, layer_weight(layer, "attn_k"), kv, c.embedding);
    need_tensor(file, layer_weight(layer, "attn_v"), kv, c.embedding);
    need_tensor(file, layer_weight(layer, "attn_output"), c.embedding, q);
    need_tensor(file, layer_weight(layer, "ffn_norm"), 1, c.embedding);
    need_tensor(file, layer_weight(layer, "ffn_gate"), c.feed_forward, c.embedding);
    need_tensor(file, layer_weight(layer, "ffn_up"), c.feed_forward, c.embedding);
    need_tensor(file, layer_weight(layer, "ffn_down"), c.embedding, c.feed_forward);
  }
}

std::vector<double> read_rope_factors(const GgufFile& file, int64_t rope_dims) {
  const auto* tensor = file.find("rope_freqs.weight");
  if (!tensor) return {};
  need_tensor(file, "rope_freqs.weight", 1, rope_dims / 2);
  std::vector<double> factors(static_cast<size_t>(rope_dims / 2));
  dequantise(tensor->type, tensor->data, factors);
  return factors;
}

}  // namespace

std::string layer_weight(int layer, std::string_view part) {
  return fmt::format("blk.{}.{}.weight", layer, part);
}

Config read_config(const GgufFile& file) {
  const auto architecture = file.text("general.architecture");
  need(architecture == "llama", file, fmt::format("general.architecture is {}", architecture));
  const auto scaling = file.text_or("llama.rope.scaling.type", "none");
  need(scaling == "none", file, fmt::format("llama.rope.scaling.type is {}", scaling));

  Config c;
  c.layers = file.u32("llama.block_count");
  c.embedding = file.u32("llama.embedding_length");
  c.heads = file.u32("llama.attention.head_count");
  need(c.layers > 0 && c.embedding > 0 && c.heads > 0, file, "a size is 0");
  c.kv_heads = file.u32_or("llama.attention.head_count_kv", static_cast<uint32_t>(c.heads));
  need(c.kv_heads > 0 && c.heads % c.kv_heads == 0, file, "the heads are no multiple of the key-value heads");
  c.head_dim = file.u32_or("llama.attention.key_length", static_cast<uint32_t>(c.embedding / c.heads));
  c.feed_forward = file.u32("llama.feed_forward_length");
  c.context = file.u32("llama.context_length");
  c.vocabulary = file.tensor("token_embd.weight").rows();
  c.rope_dims = file.u32_or("llama.rope.dimension_count", static_cast<uint32_t>(c.head_dim));
  need(c.head_dim > 0 && c.feed_forward > 0 && c.context > 0, file, "a size is 0");
  need(c.rope_dims % 2 == 0 && c.rope_dims <= c.head_dim, file,
       "llama.rope.dimension_count is odd or above the head size");
  need(file.u32_or("llama.attention.value_length", static_cast<uint32_t>(c.head_dim)) == c.head_dim, file,
       "keys and values differ in length");
  c.norm_eps = file.f32("llama.attention.layer_norm_rms_epsilon");
  c.rope_base = file.f32_or("llama.rope.freq_base", 10000.0f);
  c.tied_output = file.find("output.weight") == nullptr;
  c.rope_factors = read_rope_factors(file, c.rope_dims);
  need_tensors(file, c);
  return c;
}

StageSizes Config::sizes(int64_t S, int64_t T) const {
  return {.S = S,
          .T = T,
          .D = embedding,
          .H = heads,
          .Hkv = kv_heads,
          .Dh = head_dim,
          .F = feed_forward,
          .V = vocabulary};
}

std::vector<double> rope_frequencies(const Config& config) {
  std::vector<double> out(static_cast<size_t>(config.rope_dims / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] =
        std::pow(config.rope_base, -2.0 * static_cast<double>(i) / static_cast<double>(config.rope_dims));
    if (!config.rope_factors.empty()) out[i] /= config.rope_factors[i];
  }
  return out;
}

}  // namespace greta::reference
