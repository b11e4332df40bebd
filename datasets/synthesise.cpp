#include "datasets/synthesise.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "datasets/bpe_vocabulary.hpp"
#include "datasets/error.hpp"
#include "datasets/gguf_writer.hpp"
#include "datasets/nearest.hpp"
#include "datasets/quantise.hpp"
#include "datasets/synthetic_weights.hpp"

namespace greta {
namespace {

constexpr int64_t kChunkBytes = 8 << 20;  // of packed rows made in parallel before they are written
constexpr int64_t kBatch = 16;            // rows that a thread takes at a time

struct Quant {
  const char* name;
  GgmlType type;
  uint32_t file_type;  // llama.cpp's LLAMA_FTYPE_MOSTLY_…
};
constexpr Quant kQuants[] = {{"f32", GgmlType::F32, 0},    {"f16", GgmlType::F16, 1},
                             {"bf16", GgmlType::BF16, 32}, {"q8_0", GgmlType::Q8_0, 7},
                             {"q4_0", GgmlType::Q4_0, 2},  {"q4_k_m", GgmlType::Q4_K, 15},
                             {"q6_k", GgmlType::Q6_K, 18}};

const Quant& quant_named(const std::string& name) {
  const auto found = std::ranges::find(kQuants, name, &Quant::name);
  if (found == std::end(kQuants)) fail_usage("{}", unknown_name("quant", name, synthesis_quants()));
  return *found;
}

// llama.cpp's choice of the layers whose attn_v and ffn_down get more bits: an eighth at each end, and every
// third between.
bool more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// A row must be whole blocks: k-quants fall back to Q8_0, and what has blocks of 32 to F16.
GgmlType fitting(GgmlType type, int64_t columns) {
  if (columns % info(type).block_values == 0) return type;
  return columns % 32 == 0 ? GgmlType::Q8_0 : GgmlType::F16;
}

bool is_vector(const SyntheticTensor& tensor) {
  return tensor.role == WeightRole::attn_norm || tensor.role == WeightRole::ffn_norm ||
         tensor.role == WeightRole::output_norm || tensor.role == WeightRole::rope_freqs;
}

GgmlType type_of(const SyntheticTensor& tensor, const Quant& quant, const ModelShape& shape) {
  if (is_vector(tensor)) return GgmlType::F32;
  const bool to_logits =
      tensor.role == WeightRole::output || (shape.tied && tensor.role == WeightRole::token_embd);
  const bool packed_small = quant.type == GgmlType::Q4_K || quant.type == GgmlType::Q4_0;
  GgmlType type = quant.type;
  if (packed_small && to_logits) type = GgmlType::Q6_K;
  if (quant.type == GgmlType::Q4_K &&
      (tensor.role == WeightRole::attn_v || tensor.role == WeightRole::ffn_down) &&
      more_bits(tensor.layer, shape.layers))
    type = GgmlType::Q6_K;
  return fitting(type, tensor.columns);
}

void set_metadata(GgufWriter& file, const SynthesisOptions& options, const ModelShape& shape,
                  const Quant& quant) {
  const auto u32 = [&](const char* key, int64_t value) { file.set_u32(key, static_cast<uint32_t>(value)); };
  file.set_text("general.architecture", "llama");
  file.set_text("general.type", "model");
  file.set_text("general.name", fmt::format("greta synthetic {} seed {}", options.preset, options.seed));
  u32("general.file_type", quant.file_type);
  u32("general.quantization_version", 2);
  u32("llama.block_count", shape.layers);
  u32("llama.context_length", shape.context);
  u32("llama.embedding_length", shape.embedding);
  u32("llama.feed_forward_length", shape.feed_forward);
  u32("llama.attention.head_count", shape.heads);
  u32("llama.attention.head_count_kv", shape.kv_heads);
  u32("llama.attention.key_length", shape.head_dim);
  u32("llama.attention.value_length", shape.head_dim);
  file.set_f32("llama.attention.layer_norm_rms_epsilon", shape.eps);
  file.set_f32("llama.rope.freq_base", shape.rope_base);
  u32("llama.rope.dimension_count", shape.head_dim);
  u32("llama.vocab_size", shape.vocabulary);
}

void set_vocabulary(GgufWriter& file, const BpeVocabulary& vocabulary) {
  file.set_text("tokenizer.ggml.model", "gpt2");
  file.set_text("tokenizer.ggml.pre", "llama-bpe");
  file.set_texts("tokenizer.ggml.tokens", vocabulary.tokens);
  file.set_i32s("tokenizer.ggml.token_type", vocabulary.types);
  file.set_texts("tokenizer.ggml.merges", vocabulary.merges);
  file.set_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(vocabulary.bos));
  file.set_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(vocabulary.eos));
  file.set_u32("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(vocabulary.eot));
  file.set_bool("tokenizer.ggml.add_bos_token", true);
}

// Calls work(i) for i in [0, count) on `threads` threads. The first exception comes out here.
void in_parallel(int threads, int64_t count, const std::function<void(int64_t)>& work) {
  std::atomic<int64_t> next{0};
  std::exception_ptr thrown;
  std::once_flag first;
  const auto worker = [&] {
    try {
      for (int64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      next = count;
      std::call_once(first, [&] { thrown = std::current_exception(); });
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int64_t i = 1; i < std::min<int64_t>(threads, count); ++i) helpers.emplace_back(worker);
    worker();
  }
  if (thrown) std::rethrow_exception(thrown);
}

// Rows are made in parallel, a chunk at a time, and written in order.
void write_tensor(GgufWriter& file, const SyntheticWeights& weights, const SyntheticTensor& tensor,
                  GgmlType type, int threads) {
  const int64_t row_bytes = packed_bytes(type, tensor.columns);
  const int64_t chunk = std::max<int64_t>(1, kChunkBytes / row_bytes);
  std::vector<std::byte> packed(static_cast<size_t>(std::min(chunk, tensor.rows) * row_bytes));
  for (int64_t begin = 0; begin < tensor.rows; begin += chunk) {
    const int64_t rows = std::min(chunk, tensor.rows - begin);
    in_parallel(threads, (rows + kBatch - 1) / kBatch, [&](int64_t batch) {
      std::vector<float> values(static_cast<size_t>(tensor.columns));
      for (int64_t r = batch * kBatch; r < std::min(rows, (batch + 1) * kBatch); ++r) {
        weights.row(tensor, begin + r, values);
        quantise(type, values, std::span(packed).subspan(r * row_bytes, row_bytes));
      }
    });
    file.write(std::span(packed).first(rows * row_bytes));
  }
}

}  // namespace

const std::vector<std::string>& synthesis_quants() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& quant : kQuants) list.emplace_back(quant.name);
    return list;
  }();
  return names;
}

void synthesise(const SynthesisOptions& options, const std::string& path) {
  const ModelShape shape = resolve_shape(options);
  const Quant& quant = quant_named(options.quant);
  GgufWriter file(path);  // before the work: a path that cannot be written is known at once
  const auto vocabulary = make_bpe_vocabulary(static_cast<int32_t>(shape.vocabulary));
  set_metadata(file, options, shape, quant);
  set_vocabulary(file, vocabulary);

  const SyntheticWeights weights(shape, options.seed, vocabulary.bos);
  const auto tensors = weights.tensors();
  for (const auto& tensor : tensors) {
    std::vector<uint64_t> ne = {static_cast<uint64_t>(tensor.columns)};
    if (!is_vector(tensor)) ne.push_back(static_cast<uint64_t>(tensor.rows));
    file.add_tensor(tensor.name, type_of(tensor, quant, shape), std::move(ne));
  }
  const int threads = options.threads > 0
                          ? options.threads
                          : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (const auto& tensor : tensors)
    write_tensor(file, weights, tensor, type_of(tensor, quant, shape), threads);
  file.finish();
}

}  // namespace greta
