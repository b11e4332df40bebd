#include <gtest/gtest.h>

#include "reference/hypotheses/float_faults.hpp"

namespace greta::reference {
namespace {

std::vector<float> as_multiplied(const FloatScene& scene, std::vector<float> values) {
  if (scene.half) std::transform(values.begin(), values.end(), values.begin(), to_f16);
  return values;
}

FloatMatrix wrong_scores(const FloatScene& scene, const std::string& cause, int layer) {
  const auto& config = scene.model.config();
  const auto q = scene.operand(Stage::q_rope, layer), keys = scene.operand(Stage::k_cache, layer);
  const int64_t T = keys.rows, Dh = config.head_dim, H = config.heads, Hkv = config.kv_heads;
  const float width = static_cast<float>(Dh);
  FloatMatrix y(q.rows, H * T);
  for (int64_t s = 0; s < q.rows; ++s) {
    for (int64_t h = 0; h < H; ++h) {
      const auto of_head = as_multiplied(scene, q.part(s, h * Dh, Dh));
      const int64_t kv = cause == "kv_head=modulo" ? h % Hkv : h / (H / Hkv);
      for (int64_t t = 0; t < T; ++t) {
        const int64_t position = scene.call.start + s;
        bool seen = t <= position;
        if (cause == "mask=one_ahead") seen = t <= position + 1;
        if (cause == "mask=one_behind") seen = t < position;
        if (cause == "mask=left_out") seen = true;
        if (cause == "window=64" && t >= 64) seen = false;
        float score = scene.order.dot(as_multiplied(scene, keys.part(t, kv * Dh, Dh)), of_head);
        if (cause == "qk_scale=squared")
          score *= 1.0f / width;
        else if (cause != "qk_scale=left_out")
          score *= 1.0f / std::sqrt(width);
        y(s, h * T + t) = seen ? score : -INFINITY;
      }
    }
  }
  return y;
}

FloatMatrix wrong_softmax(const FloatScene& scene, const std::string& cause, int layer) {
  const auto x = scene.operand(Stage::qk, layer);
  const int64_t T = scene.call.T();
  FloatMatrix y(x.rows, x.columns);
  for (int64_t s = 0; s < x.rows; ++s) {
    for (int64_t begin = 0; begin < x.columns; begin += T) {
      auto row = x.part(s, begin, T);
      float largest = *std::max_element(row.begin(), row.end());
      if (cause == "softmax_max=not_subtracted") largest = 0;
      for (auto& value : row)
        value = cause == "softmax_base=2" ? std::exp2(value - largest) : std::exp(value - largest);
      auto summed = row;
      if (cause == "softmax_sum=one_short") summed.pop_back();
      const float sum = scene.order.dot(summed, std::vector<float>(summed.size(), 1.0f));
      for (int64_t t = 0; t < T; ++t) y(s, begin + t) = row[static_cast<size_t>(t)] / sum;
    }
  }
  return y;
}

FloatMatrix wrong_mix(const FloatScene& scene, const std::string& cause, int layer) {
  const auto& config = scene.model.config();
  const auto p = scene.operand(Stage::softmax, layer), values = scene.operand(Stage::v_cache, layer);
  const int64_t T = values.rows, Dh = config.head_dim, H = config.heads, Hkv = config.kv_heads;
  const int64_t read = cause == "window=64" ? std::min<int64_t>(T, 64) : T;
  FloatMatrix y(p.rows, H * Dh);
  for (int64_t h = 0; h < H; ++h) {
    const int64_t kv = cause == "kv_head=modulo" ? h % Hkv : h / (H / Hkv);
    for (int64_t d = 0; d < Dh; ++d) {
      std::vector<float> column;
      for (int64_t t = 0; t < read; ++t) column.push_back(values(t, kv * Dh + d));
      column = as_multiplied(scene, column);
      for (int64_t s = 0; s < p.rows; ++s)
        y(s, h * Dh + d) = scene.order.dot(column, as_multiplied(scene, p.part(s, h * T, read)));
    }
  }
  return y;
}

}  // namespace

FloatMatrix wrong_attention(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  if (stage == Stage::qk) return wrong_scores(scene, cause, layer);
  if (stage == Stage::softmax) return wrong_softmax(scene, cause, layer);
  return wrong_mix(scene, cause, layer);
}

}  // namespace greta::reference
