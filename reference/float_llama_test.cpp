#include "reference/float_llama.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace greta::reference {

FloatLlama::FloatLlama(const Model& model, const Summation& order, bool half)
    : model_(model), config_(model.config()), order_(order), half_(half) {}

FloatMatrix& FloatLlama::put(Stage stage, int layer, FloatMatrix matrix) {
  auto& kept = stages_[{stage, layer}] = std::move(matrix);
  if (tamper) tamper(stage, layer, kept);
  return kept;
}

float FloatLlama::dot(std::vector<float> w, std::vector<float> x) const {
  if (half_)
    for (auto* side : {&w, &x}) std::transform(side->begin(), side->end(), side->begin(), to_f16);
  return order_.dot(w, x);
}

FloatMatrix FloatLlama::matmul(const FloatMatrix& x, const std::string& weight) const {
  const Matrix w = *model_.weight(weight);
  FloatMatrix y(x.rows, w.rows());
  std::vector<float> row(static_cast<size_t>(w.cols()));
  for (int64_t n = 0; n < w.rows(); ++n) {
    for (int64_t k = 0; k < w.cols(); ++k) row[static_cast<size_t>(k)] = static_cast<float>(w(n, k));
    for (int64_t s = 0; s < x.rows; ++s) y(s, n) = dot(row, x.part(s, 0, x.columns));
  }
  return y;
}

FloatMatrix FloatLlama::rms_norm(const FloatMatrix& x, const std::string& weight) const {
  const Matrix gain = *model_.weight(weight);
  FloatMatrix y(x.rows, x.columns);
  for (int64_t s = 0; s < x.rows; ++s) {
    const auto row = x.part(s, 0, x.columns);
    const float mean = order_.dot(row, row) / static_cast<float>(x.columns);
    const float scale = 1.0f / std::sqrt(mean + static_cast<float>(config_.norm_eps));
    for (int64_t k = 0; k < x.columns; ++k) y(s, k) = x(s, k) * scale * static_cast<float>(gain(0, k));
  }
  return y;
}

FloatMatrix FloatLlama::rope(const FloatMatrix& x, const Call& call) const {
  FloatMatrix y = x;
  const auto frequencies = rope_frequencies(config_);
  for (int64_t s = 0; s < x.rows; ++s) {
    for (int64_t k = 0; k < x.columns; k += 2) {
      const int64_t d = k % config_.head_dim;
      if (d >= config_.rope_dims) continue;
      const float angle =
          static_cast<float>(call.start + s) * static_cast<float>(frequencies[static_cast<size_t>(d / 2)]);
      const float c = std::cos(angle), n = std::sin(angle);
      y(s, k) = x(s, k) * c - x(s, k + 1) * n;
      y(s, k + 1) = x(s, k) * n + x(s, k + 1) * c;
    }
  }
  return y;
}

FloatMatrix FloatLlama::append(Key cache, const FloatMatrix& rows, int start) {
  auto& kept = caches_[cache];
  kept.columns = rows.columns;
  kept.rows = start + rows.rows;
  kept.data.resize(static_cast<size_t>(start * rows.columns));
  kept.data.insert(kept.data.end(), rows.data.begin(), rows.data.end());
  return kept;
}

FloatMatrix FloatLlama::scores(const FloatMatrix& q, const FloatMatrix& keys, const Call& call) const {
  const int64_t Dh = config_.head_dim, group = config_.heads / config_.kv_heads, T = keys.rows;
  const float scale = 1.0f / std::sqrt(static_cast<float>(Dh));
  FloatMatrix y(q.rows, config_.heads * T);
  for (int64_t s = 0; s < q.rows; ++s)
    for (int64_t h = 0; h < config_.heads; ++h)
      for (int64_t t = 0; t < T; ++t)
        y(s, h * T + t) = t > call.start + s
                              ? -INFINITY
                              : scale * dot(keys.part(t, h / group * Dh, Dh), q.part(s, h * Dh, Dh));
  return y;
}

FloatMatrix FloatLlama::softmax(const FloatMatrix& x, int64_t T) const {
  FloatMatrix y(x.rows, x.columns);
  const std::vector<float> ones(static_cast<size_t>(T), 1.0f);
  for (int64_t s = 0; s < x.rows; ++s) {
    for (int64_t begin = 0; begin < x.columns; begin += T) {
      auto row = x.part(s, begin, T);
      const float largest = *std::max_element(row.begin(), row.end());
      for (auto& value : row) value = std::exp(value - largest);
      const float sum = order_.dot(row, ones);
      for (int64_t t = 0; t < T; ++t) y(s, begin + t) = row[static_cast<size_t>(t)] / sum;
    }
  }
  return y;
}

FloatMatrix FloatLlama::mix(const FloatMatrix& p, const FloatMatrix& values) const {
  const int64_t Dh = config_.head_dim, group = config_.heads / config_.kv_heads, T = values.rows;
  FloatMatrix y(p.rows, config_.heads * Dh);
  std::vector<float> column(static_cast<size_t>(T));
  for (int64_t h = 0; h < config_.heads; ++h) {
    for (int64_t d = 0; d < Dh; ++d) {
      for (int64_t t = 0; t < T; ++t) column[static_cast<size_t>(t)] = values(t, h / group * Dh + d);
      for (int64_t s = 0; s < p.rows; ++s) y(s, h * Dh + d) = dot(column, p.part(s, h * T, T));
    }
  }
  return y;
}

namespace {

FloatMatrix sum(const FloatMatrix& a, const FloatMatrix& b) {
  FloatMatrix y = a;
  for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += b.data[i];
  return y;
}

FloatMatrix gated(const FloatMatrix& gate, const FloatMatrix& up) {
  FloatMatrix y = gate;
  for (size_t i = 0; i < y.data.size(); ++i)
    y.data[i] = gate.data[i] / (1.0f + std::exp(-gate.data[i])) * up.data[i];
  return y;
}

}  // namespace

void FloatLlama::layer(int l, const Call& call) {
  const auto w = [l](const char* part) { return layer_weight(l, part); };
  const auto& input = l == 0 ? at(Stage::embed, -1) : at(Stage::ffn_residual, l - 1);
  const auto& norm = put(Stage::attn_norm, l, rms_norm(input, w("attn_norm")));
  const auto& q = put(Stage::q, l, matmul(norm, w("attn_q")));
  const auto& k = put(Stage::k, l, matmul(norm, w("attn_k")));
  const auto& v = put(Stage::v, l, matmul(norm, w("attn_v")));
  const auto& q_rope = put(Stage::q_rope, l, rope(q, call));
  const auto& k_rope = put(Stage::k_rope, l, rope(k, call));
  const auto& keys = put(Stage::k_cache, l, append({Stage::k_cache, l}, k_rope, call.start));
  const auto& values = put(Stage::v_cache, l, append({Stage::v_cache, l}, v, call.start));
  const auto& qk = put(Stage::qk, l, scores(q_rope, keys, call));
  const auto& p = put(Stage::softmax, l, softmax(qk, keys.rows));
  const auto& pv = put(Stage::pv, l, mix(p, values));
  const auto& attn_out = put(Stage::attn_out, l, pv);
  const auto& wo = put(Stage::wo, l, matmul(attn_out, w("attn_output")));
  const auto& middle = put(Stage::attn_residual, l, sum(wo, input));
  const auto& ffn_norm = put(Stage::ffn_norm, l, rms_norm(middle, w("ffn_norm")));
  const auto& gate = put(Stage::ffn_gate, l, matmul(ffn_norm, w("ffn_gate")));
  const auto& up = put(Stage::ffn_up, l, matmul(ffn_norm, w("ffn_up")));
  const auto& act = put(Stage::ffn_act, l, gated(gate, up));
  const auto& down = put(Stage::ffn_down, l, matmul(act, w("ffn_down")));
  put(Stage::ffn_residual, l, sum(down, middle));
}

void FloatLlama::forward(const Call& call) {
  T_ = call.T();
  FloatMatrix embed(call.S(), config_.embedding);
  std::vector<double> row(static_cast<size_t>(config_.embedding));
  for (int64_t s = 0; s < call.S(); ++s) {
    model_.weight_row("token_embd.weight", call.tokens[static_cast<size_t>(s)], row);
    for (int64_t k = 0; k < config_.embedding; ++k)
      embed(s, k) = static_cast<float>(row[static_cast<size_t>(k)]);
  }
  put(Stage::embed, -1, std::move(embed));
  for (int l = 0; l < config_.layers; ++l) layer(l, call);
  const auto& last = at(Stage::ffn_residual, static_cast<int>(config_.layers) - 1);
  const auto& norm = put(Stage::final_norm, -1, rms_norm(last, "output_norm.weight"));
  put(Stage::logits, -1, matmul(norm, model_.output_weight()));
}

std::string FloatLlama::dot_contract(const char* op, int64_t terms) const {
  const auto* type = half_ ? "f16" : "f32";
  return fmt::format("op={} x={} w={} acc=f32 chain={} out=f32 unit=ieee", op, type, type,
                     order_.chain(static_cast<int>(terms)));
}

Contract FloatLlama::contract(Stage stage) const {
  const auto chain = [this](int64_t terms) { return order_.chain(static_cast<int>(terms)); };
  switch (stage) {
    case Stage::embed:
      return Contract::parse("op=embed w=f32");
    case Stage::attn_norm:
    case Stage::ffn_norm:
    case Stage::final_norm:
      return Contract::parse(fmt::format("op=rmsnorm chain={} sqrt=1", chain(config_.embedding)));
    case Stage::q_rope:
    case Stage::k_rope:
      return Contract::parse("op=rope freq=f64 trig=1");
    case Stage::k_cache:
    case Stage::v_cache:
    case Stage::attn_out:
      return Contract::parse("op=copy");
    case Stage::qk:
      return Contract::parse(dot_contract("qk", config_.head_dim));
    case Stage::softmax:
      return Contract::parse(fmt::format("op=softmax chain={} exp=1 div=1", chain(T_)));
    case Stage::pv:
      return Contract::parse(dot_contract("pv", T_));
    case Stage::attn_residual:
    case Stage::ffn_residual:
      return Contract::parse("op=add");
    case Stage::ffn_act:
      return Contract::parse("op=swiglu exp=1 div=1");
    case Stage::wo:
      return Contract::parse(dot_contract("matmul", config_.heads * config_.head_dim));
    case Stage::ffn_down:
      return Contract::parse(dot_contract("matmul", config_.feed_forward));
    default:
      return Contract::parse(dot_contract("matmul", config_.embedding));
  }
}

Matrix FloatLlama::stage(Stage stage, int layer) const { return at(stage, layer).to_f64(); }

Fetch FloatLlama::fetch() const {
  return [this](const OperandRef& ref) {
    if (!ref.history) return stage(ref.stage, ref.layer);
    return caches_.at({ref.stage == Stage::v ? Stage::v_cache : Stage::k_cache, ref.layer}).to_f64();
  };
}

}  // namespace greta::reference
