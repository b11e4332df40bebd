#include "engine/weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "datasets/error.hpp"
#include "datasets/tensor.hpp"

namespace greta::engine::inline GRETA_MACHINE {
namespace {

kernels::WeightType weight_type(GgmlType type) {
  switch (type) {
    case GgmlType::F32:
      return kernels::WeightType::f32;
    case GgmlType::F16:
      return kernels::WeightType::f16;
    case GgmlType::BF16:
      return kernels::WeightType::bf16;
    case GgmlType::Q8_0:
      return kernels::WeightType::q8_0;
    case GgmlType::Q4_0:
      return kernels::WeightType::q4_0;
    case GgmlType::Q4_K:
      return kernels::WeightType::q4_K;
    case GgmlType::Q5_K:
      return kernels::WeightType::q5_K;
    case GgmlType::Q6_K:
      return kernels::WeightType::q6_K;
  }
  fail_internal("unknown weight type {}", static_cast<uint32_t>(type));
}

// A floating-point field is NaN or infinite when its exponent bits are all ones.
bool exponent_is_full(const std::byte* at, GgmlType type) {
  if (type == GgmlType::F32) {
    uint32_t bits;
    std::memcpy(&bits, at, 4);
    return (bits & 0x7f800000u) == 0x7f800000u;
  }
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  const uint16_t mask = type == GgmlType::BF16 ? 0x7f80 : 0x7c00;
  return (bits & mask) == mask;
}

// Byte offsets of a block's floating-point fields; -1: none.
std::array<int, 2> float_fields(GgmlType type) {
  switch (type) {
    case GgmlType::Q4_K:
    case GgmlType::Q5_K:
      return {0, 2};  // d, dmin
    case GgmlType::Q6_K:
      return {208, -1};  // d comes last
    default:
      return {0, -1};
  }
}

}  // namespace

bool all_finite(const GgufTensor& tensor) {
  const int64_t block_bytes = info(tensor.type).block_bytes;
  const auto fields = float_fields(tensor.type);
  for (int64_t at = 0; at + block_bytes <= static_cast<int64_t>(tensor.data.size()); at += block_bytes)
    for (const int field : fields)
      if (field >= 0 && exponent_is_full(tensor.data.data() + at + field, tensor.type)) return false;
  return true;
}

const LoadedWeight* Weights::load(const GgufFile& file, const std::string& name, int64_t columns,
                                  int64_t rows) {
  const GgufTensor& tensor = file.tensor(name);
  if (tensor.columns() != columns || tensor.rows() != rows)
    fail_input("{}: tensor {} is {} x {}, but the metadata asks for {} x {}", file.path(), name,
               tensor.columns(), tensor.rows(), columns, rows);
  if (!all_finite(tensor))
    fail_input("{}: tensor {} holds NaN or infinite weights; the file is damaged", file.path(), name);
  auto loaded = std::make_unique<LoadedWeight>();
  loaded->name = name;
  // Kernels read whole words of 16 bytes, the last one too.
  const size_t bytes = tensor.data.size(), padding = (16 - bytes % 16) % 16;
  loaded->storage = kernels::DeviceBuffer<std::byte>(bytes + padding);
  kernels::hip_check(hipMemcpy(loaded->storage.data(), tensor.data.data(), bytes, hipMemcpyHostToDevice),
                     "hipMemcpy of weights");
  if (padding > 0)
    kernels::hip_check(hipMemset(loaded->storage.data() + bytes, 0, padding), "hipMemset behind weights");
  loaded->view = {loaded->storage.data(), weight_type(tensor.type), rows, columns};
  all_.push_back(std::move(loaded));
  return all_.back().get();
}

const LoadedWeight* Weights::load_norm(const GgufFile& file, const std::string& name, int64_t columns) {
  if (file.tensor(name).type != GgmlType::F32)
    fail_input("{}: tensor {} is {}; norm weights must be F32", file.path(), name,
               info(file.tensor(name).type).name);
  return load(file, name, columns, 1);
}

Weights::Weights(const GgufFile& file, const Config& c) {
  const int64_t q_width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  token_embd = load(file, "token_embd.weight", c.embedding, c.vocabulary);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    LayerWeights w{};
    w.attn_norm = load_norm(file, name("attn_norm"), c.embedding);
    w.q = load(file, name("attn_q"), c.embedding, q_width);
    w.k = load(file, name("attn_k"), c.embedding, kv_width);
    w.v = load(file, name("attn_v"), c.embedding, kv_width);
    w.wo = load(file, name("attn_output"), q_width, c.embedding);
    w.ffn_norm = load_norm(file, name("ffn_norm"), c.embedding);
    w.gate = load(file, name("ffn_gate"), c.embedding, c.feed_forward);
    w.up = load(file, name("ffn_up"), c.embedding, c.feed_forward);
    w.down = load(file, name("ffn_down"), c.feed_forward, c.embedding);
    layers.push_back(w);
  }
  output_norm = load_norm(file, "output_norm.weight", c.embedding);
  const bool tied = file.find("output.weight") == nullptr;
  output = tied ? token_embd : load(file, "output.weight", c.embedding, c.vocabulary);

  for (const GgufTensor& tensor : file.tensors()) {
    const bool used =
        tensor.name == "rope_freqs.weight" ||
        std::any_of(all_.begin(), all_.end(), [&](const auto& w) { return w->name == tensor.name; });
    if (!used)
      fail_input("{}: tensor {} is none that a llama model of this engine has; it would be left out",
                 file.path(), tensor.name);
  }
}

}  // namespace greta::engine::inline GRETA_MACHINE
