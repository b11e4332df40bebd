// The values of a synthetic Llama's weights, row by row. What makes them like a trained network's:
//
// - Weights have tails (RandomRow::deviate) and are scaled, layer by layer, so that q, k, v, gate and up have
// a spread near 1 and each
//   sublayer adds about 0.35 of the embedding's spread to the residual: it grows like √(1 + 0.245·l), and
//   never explodes.
// - Outlier channels: a few channels of the residual hold 24 to 48 times the others' spread, for every token.
// The norms' weights are
//   small there, and so are the matching columns, yet after the norm these channels are still the largest.
// - One neuron in 128 of the feed-forward is 6 times as strong as its neighbours.
// - Attention sink: the BOS token's embedding is 64 times the spread in one channel. Keys read that channel,
// queries have a constant part
//   (read from the outlier channels) that meets it in the slowest RoPE pairs. Three heads in four use it, at
//   scores of about 6, 8 and 10.
// - A clear top: the output row of token u leans on the embedding of another token, prev(u), so that each
// token has one likely successor
//   (itself when the output weight is tied). Other logits have a spread of about 2.5.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "datasets/synthesise.hpp"

namespace greta {

enum class WeightRole {
  token_embd,
  attn_norm,
  attn_q,
  attn_k,
  attn_v,
  attn_output,
  ffn_norm,
  ffn_gate,
  ffn_up,
  ffn_down,
  output_norm,
  output,
  rope_freqs
};

struct SyntheticTensor {
  WeightRole role;
  int64_t layer;  // −1 outside the layers
  std::string name;
  int64_t columns, rows;  // ne = [columns, rows]; one row for a vector
};

class SyntheticWeights {
 public:
  SyntheticWeights(const ModelShape&, uint64_t seed, int32_t bos);

  // In the order of the file.
  std::vector<SyntheticTensor> tensors() const;

  // Row `row` of a tensor; `out` has tensor.columns values. Thread-safe.
  void row(const SyntheticTensor&, int64_t row, std::span<float> out) const;

  std::vector<int64_t> outlier_channels() const;
  int64_t sink_channel() const { return sink_channel_; }
  int64_t likely_successor(int64_t token) const;  // of a token, by the output weight

 private:
  struct Outlier {
    int64_t channel;
    float mean;  // signed, in units of the embedding's spread
  };
  // Spreads of what enters a norm, in units of the embedding's spread, after `sublayers` updates of the
  // residual.
  struct Residual {
    float channel;  // of an ordinary channel
    float rms;      // over the channels, as an ordinary token has it
    float bos_rms;  // as BOS has it
  };
  Residual residual(int64_t sublayers) const;
  float outlier_sum(const Residual&) const;

  void embedding(const SyntheticTensor&, int64_t row, std::span<float> out) const;
  void norm(const SyntheticTensor&, std::span<float> out) const;
  void projection(const SyntheticTensor&, int64_t row, std::span<float> out) const;
  void add_sink(const SyntheticTensor&, int64_t row, const Residual&, std::span<float> out) const;
  void mixing(const SyntheticTensor&, int64_t row, std::span<float> out) const;
  void output(const SyntheticTensor&, int64_t row, std::span<float> out) const;
  void rope_freqs(std::span<float> out) const;

  ModelShape shape_;
  uint64_t seed_;
  int32_t bos_;
  std::vector<Outlier> outliers_;
  int64_t sink_channel_ = 0;
  int64_t step_ = 1, shift_ = 0;  // prev(u) = (u·step + shift) mod V
};

}  // namespace greta
