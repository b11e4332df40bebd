#include "datasets/synthetic_weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "datasets/synthetic_random.hpp"

namespace greta {
namespace {

constexpr float kSpread = 0x1p-5f;  // of an ordinary channel of the embedding: the unit of the residual
constexpr float kUpdate = 0.25f;     // what a sublayer adds, in that unit, in a network of up to 12 sublayers
constexpr float kOutlierNorm = 0.25f;   // the norms' weight at outlier channels
constexpr float kOutlierColumn = 0.25f;  // scale of the columns that read them
constexpr float kSinkValue = 64.0f;     // of BOS in the sink channel, in units of kSpread
constexpr float kSinkColumn = 0.1f;     // scale of the columns that read the sink channel, keys apart
constexpr float kSinkKey = 4.0f;        // BOS's key in each slow dimension
constexpr float kGateSpread = 1.2f;     // of gate and up
constexpr float kActSpread = 0.9f;      // of silu(gate)·up for that
constexpr float kAttentionSpread =
    0.4f;  // of the attention's output: a mean of values, most of them of the sink
constexpr float kStrongNeuron = 6.0f;
constexpr float kLogitSpread = 2.5f;
constexpr float kTopLogit = 9.0f;  // of the likely successor, in units of kLogitSpread

RandomRow strong_neurons(uint64_t seed, int64_t layer) { return {seed, "strong neurons", layer}; }
bool strong(const RandomRow& neurons, int64_t neuron) { return neurons.bits(neuron) % 128 == 0; }

// The slowest quarter of the RoPE pairs, which lie last.
int64_t slow_dimensions(int64_t head_dim) { return std::max<int64_t>(2, head_dim / 8 * 2); }

// Variance that a sublayer adds. Deeper networks add less each (as GPT-2's initialisation does), so that the
// sum stays the same and a token can still be told from what the layers made of it.
float update_variance(int64_t layers) {
  return kUpdate * kUpdate * 12.0f / static_cast<float>(std::max<int64_t>(12, 2 * layers));
}

float root(int64_t count) { return std::sqrt(static_cast<float>(count)); }

}  // namespace

SyntheticWeights::SyntheticWeights(const ModelShape& shape, uint64_t seed, int32_t bos)
    : shape_(shape), seed_(seed), bos_(bos) {
  const RandomRow random(seed, "channels", 0);
  const int64_t wanted = 2 + shape.embedding / 1024;
  std::vector<int64_t> taken;
  for (int64_t draw = 0; static_cast<int64_t>(taken.size()) < wanted + 1; ++draw) {
    const auto channel = static_cast<int64_t>(random.bits(draw) % static_cast<uint64_t>(shape.embedding));
    if (std::ranges::find(taken, channel) == taken.end()) taken.push_back(channel);
  }
  sink_channel_ = taken.back();
  taken.pop_back();
  const RandomRow size(seed, "outliers", 0);
  for (const auto channel : taken) {
    const float magnitude = 24.0f + 24.0f * size.uniform(channel);
    outliers_.push_back({channel, (size.bits(channel) & 1) ? magnitude : -magnitude});
  }

  const RandomRow order(seed, "successors", 0);
  const int64_t vocabulary = shape.vocabulary;
  step_ = 1 + static_cast<int64_t>(order.bits(0) % static_cast<uint64_t>(vocabulary));
  while (std::gcd(step_, vocabulary) != 1) ++step_;
  shift_ = static_cast<int64_t>(order.bits(1) % static_cast<uint64_t>(vocabulary));
}

std::vector<SyntheticTensor> SyntheticWeights::tensors() const {
  const auto& s = shape_;
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  std::vector<SyntheticTensor> list;
  list.push_back({WeightRole::token_embd, -1, "token_embd.weight", s.embedding, s.vocabulary});
  if (s.rope_factors) list.push_back({WeightRole::rope_freqs, -1, "rope_freqs.weight", s.head_dim / 2, 1});
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    const auto add = [&](WeightRole role, const char* name, int64_t columns, int64_t rows) {
      list.push_back({role, layer, fmt::format("blk.{}.{}.weight", layer, name), columns, rows});
    };
    add(WeightRole::attn_norm, "attn_norm", s.embedding, 1);
    add(WeightRole::attn_q, "attn_q", s.embedding, q);
    add(WeightRole::attn_k, "attn_k", s.embedding, kv);
    add(WeightRole::attn_v, "attn_v", s.embedding, kv);
    add(WeightRole::attn_output, "attn_output", q, s.embedding);
    add(WeightRole::ffn_norm, "ffn_norm", s.embedding, 1);
    add(WeightRole::ffn_gate, "ffn_gate", s.embedding, s.feed_forward);
    add(WeightRole::ffn_up, "ffn_up", s.embedding, s.feed_forward);
    add(WeightRole::ffn_down, "ffn_down", s.feed_forward, s.embedding);
  }
  list.push_back({WeightRole::output_norm, -1, "output_norm.weight", s.embedding, 1});
  if (!s.tied) list.push_back({WeightRole::output, -1, "output.weight", s.embedding, s.vocabulary});
  return list;
}

std::vector<int64_t> SyntheticWeights::outlier_channels() const {
  std::vector<int64_t> channels;
  for (const auto& outlier : outliers_) channels.push_back(outlier.channel);
  return channels;
}

int64_t SyntheticWeights::likely_successor(int64_t token) const {
  if (shape_.tied) return token;
  for (int64_t u = 0; u < shape_.vocabulary; ++u)
    if ((u * step_ + shift_) % shape_.vocabulary == token) return u;
  return -1;
}

SyntheticWeights::Residual SyntheticWeights::residual(int64_t sublayers) const {
  const float channel = 1.0f + update_variance(shape_.layers) * static_cast<float>(sublayers);
  float outliers = 0;
  for (const auto& outlier : outliers_) outliers += outlier.mean * outlier.mean;
  const auto embedding = static_cast<float>(shape_.embedding);
  const float rms = channel + outliers / embedding;
  return {std::sqrt(channel), std::sqrt(rms), std::sqrt(rms + kSinkValue * kSinkValue / embedding)};
}

// Σ |x̂| over the outlier channels after a norm.
float SyntheticWeights::outlier_sum(const Residual& residual) const {
  float sum = 0;
  for (const auto& outlier : outliers_) sum += std::fabs(outlier.mean) * kOutlierNorm / residual.rms;
  return sum;
}

void SyntheticWeights::row(const SyntheticTensor& tensor, int64_t row, std::span<float> out) const {
  switch (tensor.role) {
    case WeightRole::token_embd:
      return embedding(tensor, row, out);
    case WeightRole::attn_norm:
    case WeightRole::ffn_norm:
    case WeightRole::output_norm:
      return norm(tensor, out);
    case WeightRole::attn_q:
    case WeightRole::attn_k:
    case WeightRole::attn_v:
    case WeightRole::ffn_gate:
    case WeightRole::ffn_up:
      return projection(tensor, row, out);
    case WeightRole::attn_output:
    case WeightRole::ffn_down:
      return mixing(tensor, row, out);
    case WeightRole::output:
      return output(tensor, row, out);
    case WeightRole::rope_freqs:
      return rope_freqs(out);
  }
}

void SyntheticWeights::embedding(const SyntheticTensor& tensor, int64_t row, std::span<float> out) const {
  const RandomRow random(seed_, tensor.name, row);
  for (int64_t i = 0; i < tensor.columns; ++i) out[i] = kSpread * random.deviate(i);
  for (const auto& outlier : outliers_)
    out[outlier.channel] = kSpread * outlier.mean * (1.0f + 0.1f * random.deviate(outlier.channel));
  if (row == bos_) out[sink_channel_] = kSpread * kSinkValue;
}

void SyntheticWeights::norm(const SyntheticTensor& tensor, std::span<float> out) const {
  const RandomRow random(seed_, tensor.name, 0);
  const bool last = tensor.role == WeightRole::output_norm;
  const auto end = residual(2 * shape_.layers);
  // A tied output weight has the embedding's scale, so the last norm brings the logits to theirs.
  const float scale =
      last && shape_.tied ? kLogitSpread * end.rms / (end.channel * root(shape_.embedding) * kSpread) : 1;
  // A tied output weight holds the outliers in full, and their scatter from token to token must not drown the
  // logits.
  const float outlier_norm = !last ? kOutlierNorm : shape_.tied ? 0.08f * kOutlierNorm : 0.4f * kOutlierNorm;
  for (int64_t i = 0; i < tensor.columns; ++i)
    out[i] = scale * std::max(0.25f, 1.0f + 0.15f * random.deviate(i));
  for (const auto& outlier : outliers_) out[outlier.channel] *= outlier_norm;
  out[sink_channel_] = last ? 0.1f * scale : 1.0f;
}

void SyntheticWeights::projection(const SyntheticTensor& tensor, int64_t row, std::span<float> out) const {
  const bool feed_forward = tensor.role == WeightRole::ffn_gate || tensor.role == WeightRole::ffn_up;
  const auto in = residual(2 * tensor.layer + (feed_forward ? 1 : 0));
  float scale = (feed_forward ? kGateSpread : 1.0f) * in.rms / (in.channel * root(shape_.embedding));
  if (tensor.role == WeightRole::ffn_up && strong(strong_neurons(seed_, tensor.layer), row))
    scale *= kStrongNeuron;
  const RandomRow random(seed_, tensor.name, row);
  for (int64_t i = 0; i < tensor.columns; ++i) out[i] = scale * random.deviate(i);
  for (const auto& outlier : outliers_) out[outlier.channel] *= kOutlierColumn;
  out[sink_channel_] *= kSinkColumn;
  if (tensor.role == WeightRole::attn_q || tensor.role == WeightRole::attn_k) add_sink(tensor, row, in, out);
}

// q·k/√Dh for BOS's key is the sum over the n slow dimensions of (±A)(±B)/√Dh; A is chosen for the head's
// score.
void SyntheticWeights::add_sink(const SyntheticTensor& tensor, int64_t row, const Residual& in,
                                std::span<float> out) const {
  const int64_t head = row / shape_.head_dim, dimension = row % shape_.head_dim;
  const int64_t slow = slow_dimensions(shape_.head_dim);
  if (dimension < shape_.head_dim - slow) return;
  const bool key = tensor.role == WeightRole::attn_k;
  const int64_t kv_head = key ? head : head / (shape_.heads / shape_.kv_heads);
  const RandomRow signs(seed_, "sink signs", tensor.layer * shape_.kv_heads + kv_head);
  const float sign = (signs.bits(dimension) & 1) ? 1.0f : -1.0f;
  if (key) {
    out[sink_channel_] = sign * kSinkKey * in.bos_rms / kSinkValue;
    return;
  }
  const auto use = static_cast<float>(RandomRow(seed_, "sink heads", tensor.layer).bits(head) % 4);
  const float score = use > 0 ? 4.0f + 2.0f * use : 0.0f;
  const float query = score * root(shape_.head_dim) / (static_cast<float>(slow) * kSinkKey);
  // BOS's own norm divides the outlier channels further, which only its own query sees.
  for (const auto& outlier : outliers_)
    out[outlier.channel] += sign * (outlier.mean > 0 ? query : -query) / outlier_sum(in);
}

void SyntheticWeights::mixing(const SyntheticTensor& tensor, int64_t row, std::span<float> out) const {
  const bool down = tensor.role == WeightRole::ffn_down;
  const float scale = std::sqrt(update_variance(shape_.layers)) * kSpread /
                      ((down ? kActSpread : kAttentionSpread) * root(tensor.columns));
  const RandomRow random(seed_, tensor.name, row);
  for (int64_t i = 0; i < tensor.columns; ++i) out[i] = scale * random.deviate(i);
  if (!down) return;
  const RandomRow neurons = strong_neurons(seed_, tensor.layer);
  for (int64_t i = 0; i < tensor.columns; ++i)
    if (strong(neurons, i)) out[i] /= kStrongNeuron;
}

void SyntheticWeights::output(const SyntheticTensor& tensor, int64_t row, std::span<float> out) const {
  const auto end = residual(2 * shape_.layers);
  const float scale = kLogitSpread * end.rms / (end.channel * root(shape_.embedding));
  // The residual's correlation with the token's own embedding is 1 / end.channel.
  const float lean = std::min(0.85f, kTopLogit * end.channel / root(shape_.embedding));
  const float rest = std::sqrt(1.0f - lean * lean);
  const RandomRow random(seed_, tensor.name, row);
  const RandomRow previous(seed_, "token_embd.weight", (row * step_ + shift_) % shape_.vocabulary);
  for (int64_t i = 0; i < tensor.columns; ++i)
    out[i] = scale * (lean * previous.deviate(i) + rest * random.deviate(i));
  for (const auto& outlier : outliers_)
    out[outlier.channel] = scale * kOutlierColumn * random.deviate(outlier.channel);
  out[sink_channel_] = scale * kSinkColumn * random.deviate(sink_channel_);
}

// In Llama 3.1's manner: fast pairs as they are, slow ones 8 times slower, a ramp between.
void SyntheticWeights::rope_freqs(std::span<float> out) const {
  const auto count = static_cast<float>(out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    const float place = (static_cast<float>(i) / count - 0.4f) / 0.2f;
    out[i] = 1.0f + 7.0f * std::clamp(place, 0.0f, 1.0f);
  }
}

}  // namespace greta
