#include "reference/hypotheses/float_faults.hpp"

#include <gtest/gtest.h>

namespace greta::reference {

FloatMatrix FloatScene::operand(Stage stage, int layer, bool history) const {
  const Matrix wide = engine.fetch()({stage, layer, history});
  FloatMatrix out(wide.rows(), wide.cols());
  for (int64_t i = 0; i < wide.size(); ++i)
    out.data[static_cast<size_t>(i)] = static_cast<float>(wide.data()[i]);
  return out;
}

namespace {

int last_layer(const FloatScene& scene) { return static_cast<int>(scene.model.config().layers) - 1; }

FloatMatrix stream_into(const FloatScene& scene, int layer) {
  return layer == 0 ? scene.operand(Stage::embed, -1) : scene.operand(Stage::ffn_residual, layer - 1);
}

float quotient_silu(float x) { return x / (1.0f + std::exp(-x)); }

}  // namespace

FloatMatrix wrong_cache(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  const auto source = stage == Stage::k_cache ? Stage::k_rope : Stage::v;
  const auto right = scene.operand(source, layer, true);
  const int64_t T = right.rows, C = right.columns, start = scene.call.start;
  if (cause == "layer_base=0") return scene.operand(source, 0, true);
  FloatMatrix y = right;
  const auto write = [&](int64_t row, int64_t from) {
    if (row < 0 || row >= T) return;
    for (int64_t i = 0; i < C; ++i) y(row, i) = from < 0 ? NAN : right(from, i);
  };
  if (cause == "cache_layout=col") {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < C; ++i) y(t, i) = right.data[static_cast<size_t>(i * T + t)];
  } else if (cause == "cache_row=stale") {
    write(T - 1, T - 2);
  } else if (cause == "cache_row=never_written") {
    write(T - 1, -1);
  } else if (cause == "cache_position=+1" || cause == "cache_position=-1") {
    for (int64_t t = start; t < T; ++t) write(t, -1);  // fresh memory
    for (int64_t t = start; t < T; ++t) write(cause == "cache_position=+1" ? t + 1 : t - 1, t);
  }
  return y;
}

FloatMatrix wrong_rope(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  const auto& config = scene.model.config();
  FloatMatrix y = scene.operand(stage == Stage::q_rope ? Stage::q : Stage::k, layer);
  if (cause == "rope=left_out") return y;
  const int64_t half = config.rope_dims / 2;
  const bool halves = cause == "rope_pairs=halves";
  const double base = cause == "rope_base=10000" ? 10000 : config.rope_base;
  const int shift = cause == "rope_position=+1" ? 1 : cause == "rope_position=-1" ? -1 : 0;
  for (int turn = 0; turn < (cause == "rope=twice" ? 2 : 1); ++turn) {
    for (int64_t s = 0; s < y.rows; ++s) {
      for (int64_t head = 0; head < y.columns; head += config.head_dim) {
        for (int64_t i = 0; i < half; ++i) {
          double frequency =
              std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(config.rope_dims));
          if (!config.rope_factors.empty()) frequency /= config.rope_factors[static_cast<size_t>(i)];
          float angle = static_cast<float>(scene.call.start + s + shift) * static_cast<float>(frequency);
          if (cause == "rope_direction=reversed") angle = -angle;
          const int64_t a = head + (halves ? i : 2 * i), b = halves ? a + half : a + 1;
          const float x0 = y(s, a), x1 = y(s, b), c = std::cos(angle), n = std::sin(angle);
          y(s, a) = x0 * c - x1 * n;
          y(s, b) = x0 * n + x1 * c;
        }
      }
    }
  }
  return y;
}

FloatMatrix wrong_norm(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  const auto& config = scene.model.config();
  const auto x = stage == Stage::attn_norm  ? stream_into(scene, layer)
                 : stage == Stage::ffn_norm ? scene.operand(Stage::attn_residual, layer)
                                            : scene.operand(Stage::ffn_residual, last_layer(scene));
  const int layers = static_cast<int>(config.layers);
  int of_layer = layer;
  if (cause == "weight_layer=next") of_layer = (layer + 1) % layers;
  if (cause == "weight_layer=previous") of_layer = (layer + layers - 1) % layers;
  const Matrix gain = *scene.model.weight(stage == Stage::attn_norm  ? layer_weight(of_layer, "attn_norm")
                                          : stage == Stage::ffn_norm ? layer_weight(of_layer, "ffn_norm")
                                                                     : "output_norm.weight");
  float eps = static_cast<float>(config.norm_eps);
  if (cause == "norm_eps=left_out") eps = 0;
  if (cause == "norm_eps=1e-6") eps = 1e-6f;
  const auto n = static_cast<float>(x.columns);
  const std::vector<float> ones(static_cast<size_t>(x.columns), 1.0f);
  FloatMatrix y(x.rows, x.columns);
  for (int64_t s = 0; s < x.rows; ++s) {
    auto row = x.part(s, 0, x.columns);
    if (cause == "norm_mean=subtracted") {
      const float mean = scene.order.dot(row, ones) / n;
      for (auto& value : row) value -= mean;
    }
    const float square = scene.order.dot(row, row) / n;
    const float root = cause == "norm_eps=outside_root" ? std::sqrt(square) + eps : std::sqrt(square + eps);
    for (int64_t k = 0; k < x.columns; ++k) {
      float g = static_cast<float>(gain(0, k));
      if (cause == "norm_weight=left_out") g = 1;
      if (cause == "norm_weight=plus_one") g = 1 + g;
      y(s, k) = row[static_cast<size_t>(k)] * (1.0f / root) * g;
    }
  }
  return y;
}

FloatMatrix wrong_elementwise(const FloatScene& scene, const std::string& cause, Stage stage, int layer) {
  if (stage == Stage::ffn_act) {
    const auto gate = scene.operand(Stage::ffn_gate, layer), up = scene.operand(Stage::ffn_up, layer);
    FloatMatrix y = gate;
    for (size_t i = 0; i < y.data.size(); ++i) {
      const float g = gate.data[i], u = up.data[i];
      y.data[i] = quotient_silu(g) * u;
      if (cause == "gate_up=swapped") y.data[i] = quotient_silu(u) * g;
      if (cause == "activation=gelu") y.data[i] = 0.5f * g * (1.0f + std::erf(g * 0.70710678f)) * u;
      if (cause == "activation=gelu_tanh")
        y.data[i] = 0.5f * g * (1.0f + std::tanh(0.79788456f * (g + 0.044715f * g * g * g))) * u;
    }
    return y;
  }
  const bool attention = stage == Stage::attn_residual;
  const auto branch = scene.operand(attention ? Stage::wo : Stage::ffn_down, layer);
  const auto stream = attention ? stream_into(scene, layer) : scene.operand(Stage::attn_residual, layer);
  if (cause == "residual=left_out") return branch;
  if (cause == "residual=branch_left_out") return stream;
  FloatMatrix y = branch;
  for (size_t i = 0; i < y.data.size(); ++i) {
    y.data[i] += stream.data[i];
    if (cause == "residual=twice") y.data[i] += stream.data[i];
  }
  return y;
}

FloatMatrix wrong_stage(const FloatScene& scene, const Cause& cause, Stage stage, int layer) {
  const auto text = cause.text();
  switch (stage) {
    case Stage::k_cache:
    case Stage::v_cache:
      return wrong_cache(scene, text, stage, layer);
    case Stage::q_rope:
    case Stage::k_rope:
      return wrong_rope(scene, text, stage, layer);
    case Stage::qk:
    case Stage::softmax:
    case Stage::pv:
      return wrong_attention(scene, text, stage, layer);
    case Stage::attn_norm:
    case Stage::ffn_norm:
    case Stage::final_norm:
      return wrong_norm(scene, text, stage, layer);
    case Stage::ffn_act:
    case Stage::attn_residual:
    case Stage::ffn_residual:
      return wrong_elementwise(scene, text, stage, layer);
    default:
      return wrong_product(scene, text, stage, layer);
  }
}

}  // namespace greta::reference
