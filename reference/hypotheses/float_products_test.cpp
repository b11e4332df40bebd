#include <gtest/gtest.h>

#include "reference/hypotheses/float_faults.hpp"

namespace greta::reference {
namespace {

int part(std::byte byte, int nibble) { return std::to_integer<int>(byte) >> 4 * nibble & 15; }

float half_at(std::span<const std::byte> block, size_t at) {
  return f16_to_f32(
      static_cast<uint16_t>(std::to_integer<int>(block[at]) | std::to_integer<int>(block[at + 1]) << 8));
}

// Value i of a Q4_K block; d and dmin come from `of_scale`.
float q4_k(std::span<const std::byte> block, std::span<const std::byte> of_scale, int i,
           const std::string& cause) {
  const auto s = [&](int at) { return std::to_integer<int>(block[static_cast<size_t>(4 + at)]); };
  const int j = i / 32;
  int scale = j < 4 ? s(j) & 63 : (s(j + 4) & 15) | s(j - 4) >> 6 << 4;
  int min = j < 4 ? s(j + 4) & 63 : s(j + 4) >> 4 | s(j) >> 6 << 4;
  if (cause == "q4_k_scales=low_bits" && j >= 4) {
    scale &= 15;
    min &= 15;
  }
  if (cause == "q4_k_scales=linear") {
    const auto number = [&](int n) {  // two bytes hold any six bits
      const int at = 6 * n / 8, next = at < 11 ? s(at + 1) : 0;
      return (s(at) | next << 8) >> 6 * n % 8 & 63;
    };
    scale = number(j);
    min = number(8 + j);
  }
  int q = part(block[static_cast<size_t>(16 + i / 64 * 32 + i % 32)], i / 32 % 2);
  if (cause == "q4_k_nibbles=swapped")
    q = part(block[static_cast<size_t>(16 + i / 64 * 32 + i % 32)], 1 - i / 32 % 2);
  if (cause == "q4_k_nibbles=interleaved")
    q = part(block[static_cast<size_t>(16 + i / 64 * 32 + i % 64 / 2)], i % 2);
  const float first = half_at(of_scale, 0) * static_cast<float>(scale * q);
  const float second = half_at(of_scale, 2) * static_cast<float>(min);
  if (cause == "q4_k_min=added") return first + second;
  if (cause == "q4_k_min=left_out") return first;
  return first - second;
}

float q6_k(std::span<const std::byte> block, std::span<const std::byte> of_scale, int i,
           const std::string& cause) {
  const int half = i / 128, quarter = i % 128 / 32, lane = i % 32;
  int q = part(block[static_cast<size_t>(half * 64 + quarter % 2 * 32 + lane)], quarter / 2);
  const int bits =
      std::to_integer<int>(block[static_cast<size_t>(128 + half * 32 + lane)]) >> 2 * quarter & 3;
  if (cause != "q6_k_high_bits=dropped") q += 16 * bits;
  if (cause != "q6_k_offset=left_out") q -= 32;
  const int scale = static_cast<int8_t>(block[static_cast<size_t>(192 + i / 16)]);
  return half_at(of_scale, 208) * static_cast<float>(scale * q);
}

float unpacked(GgmlType type, std::span<const std::byte> block, std::span<const std::byte> of_scale, int i,
               const std::string& cause) {
  const auto at = [&](int byte) { return block[static_cast<size_t>(byte)]; };
  switch (type) {
    case GgmlType::Q4_K:
      return q4_k(block, of_scale, i, cause);
    case GgmlType::Q6_K:
      return q6_k(block, of_scale, i, cause);
    case GgmlType::Q8_0:
      return half_at(of_scale, 0) * static_cast<float>(static_cast<int8_t>(at(2 + i)));
    case GgmlType::Q4_0:
      return half_at(of_scale, 0) * static_cast<float>(part(at(2 + i % 16), i / 16) - 8);
    case GgmlType::F16:
      return half_at(block, 0);
    case GgmlType::F32:
      return std::bit_cast<float>(std::to_integer<uint32_t>(at(0)) | std::to_integer<uint32_t>(at(1)) << 8 |
                                  std::to_integer<uint32_t>(at(2)) << 16 |
                                  std::to_integer<uint32_t>(at(3)) << 24);
    default:
      ADD_FAILURE() << "no unpacking of " << info(type).name;
      return NAN;
  }
}

std::string weight_name(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  const int layers = static_cast<int>(scene.model.config().layers);
  int l = layer;
  if (cause == "weight_layer=next") l = layer + 1 == layers ? 0 : layer + 1;
  if (cause == "weight_layer=previous") l = layer == 0 ? layers - 1 : layer - 1;
  const bool kv = cause == "kv_weights=swapped", ffn = cause == "gate_up_weights=swapped";
  switch (stage) {
    case Stage::q:
      return layer_weight(l, "attn_q");
    case Stage::k:
      return layer_weight(l, kv ? "attn_v" : "attn_k");
    case Stage::v:
      return layer_weight(l, kv ? "attn_k" : "attn_v");
    case Stage::wo:
      return layer_weight(l, "attn_output");
    case Stage::ffn_gate:
      return layer_weight(l, ffn ? "ffn_up" : "ffn_gate");
    case Stage::ffn_up:
      return layer_weight(l, ffn ? "ffn_gate" : "ffn_up");
    case Stage::ffn_down:
      return layer_weight(l, "ffn_down");
    case Stage::logits:
      return scene.model.output_weight();
    default:
      return "token_embd.weight";
  }
}

FloatMatrix input(const FloatScene& scene, Stage stage, int layer) {
  switch (stage) {
    case Stage::wo:
      return scene.operand(Stage::attn_out, layer);
    case Stage::ffn_gate:
    case Stage::ffn_up:
      return scene.operand(Stage::ffn_norm, layer);
    case Stage::ffn_down:
      return scene.operand(Stage::ffn_act, layer);
    case Stage::logits:
      return scene.operand(Stage::final_norm, -1);
    default:
      return scene.operand(Stage::attn_norm, layer);
  }
}

FloatMatrix rows_of_table(const FloatScene& scene, const std::string& cause, const std::vector<float>& w,
                          int64_t V, int64_t D) {
  FloatMatrix y(scene.call.S(), D);
  for (int64_t s = 0; s < y.rows; ++s) {
    int64_t token = scene.call.tokens[static_cast<size_t>(s)];
    if (cause == "embed_token=next") token = token + 1 == V ? 0 : token + 1;
    for (int64_t d = 0; d < D; ++d) {
      const int64_t at = cause == "weight_layout=col" ? token + d * V : token * D + d;
      y(s, d) = cause == "embed_row=zeroed" ? 0 : w[static_cast<size_t>(at)];
    }
  }
  return y;
}

float sum_of(const FloatScene& scene, const std::string& cause, std::vector<float> w, std::vector<float> x) {
  if (scene.half)
    for (auto* side : {&w, &x}) std::transform(side->begin(), side->end(), side->begin(), to_f16);
  if (cause == "tail=terms_left_out") {
    w.resize(w.size() - 16);
    x.resize(x.size() - 16);
  }
  if (cause != "half_sum=f16") return scene.order.dot(w, x);
  const auto half = static_cast<long>(w.size() / 2);
  float s = 0;
  for (size_t k = 0; k < w.size() / 2; ++k) s = to_f16(s + w[k] * x[k]);
  return s + scene.order.dot({w.begin() + half, w.end()}, {x.begin() + half, x.end()});
}

}  // namespace

std::vector<float> wrong_weight(const GgufTensor& tensor, const std::string& cause) {
  const auto& type = info(tensor.type);
  const int64_t N = tensor.rows(), K = tensor.columns(), blocks = K / type.block_values;
  std::vector<float> w(static_cast<size_t>(N * K));
  for (int64_t n = 0; n < N; ++n) {
    const auto block = [&](int64_t b) {
      return tensor.row(n).subspan(static_cast<size_t>(b * type.block_bytes),
                                   static_cast<size_t>(type.block_bytes));
    };
    for (int64_t k = 0; k < K; ++k) {
      const int64_t b = k / type.block_values,
                    scale = cause == "block_scale=neighbour" ? (b + 1) % blocks : b;
      w[static_cast<size_t>(n * K + k)] =
          unpacked(tensor.type, block(b), block(scale), static_cast<int>(k % type.block_values), cause);
    }
  }
  if (cause != "load_layout=transposed") return w;
  std::vector<float> transposed;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t n = 0; n < N; ++n) transposed.push_back(w[static_cast<size_t>(n * K + k)]);
  return transposed;
}

FloatMatrix wrong_product(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  const auto& tensor = scene.file.tensor(weight_name(scene, cause, stage, layer));
  const int64_t N = tensor.rows(), K = tensor.columns(), Dh = scene.model.config().head_dim;
  const auto w = wrong_weight(tensor, cause);
  if (stage == Stage::embed) return rows_of_table(scene, cause, w, N, K);
  const auto x = input(scene, stage, layer);
  FloatMatrix y(x.rows, N);
  std::vector<float> row(static_cast<size_t>(K));
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k)
      row[static_cast<size_t>(k)] =
          w[static_cast<size_t>(cause == "weight_layout=col" ? k * N + n : n * K + k)];
    for (int64_t s = 0; s < y.rows; ++s) {
      const int64_t from = cause == "logits_row=previous" && s > 0 ? s - 1 : s;
      y(s, n) = sum_of(scene, cause, row, x.part(from, 0, K));
      if (cause == "head_scale=applied") y(s, n) *= 1.0f + static_cast<float>(n / Dh) / 8;
      if (cause == "tail=rows_left_out" && s >= y.rows / 16 * 16) y(s, n) = NAN;
    }
  }
  if (cause != "tile_store=transposed") return y;
  const FloatMatrix right = y;
  for (int64_t s = 0; s < y.rows; ++s)
    for (int64_t n = 0; n < N; ++n)
      if (s / 16 * 16 + 16 <= y.rows && n / 16 * 16 + 16 <= N)
        y(s, n) = right(s / 16 * 16 + n % 16, n / 16 * 16 + s % 16);
  return y;
}

}  // namespace greta::reference
