// Inside reference/: how a stage may deviate from the right one. A Variant as it is made is the right stage;
// each hypothesis (reference/hypotheses/) changes one thing in it, so that the right stage, its variants and
// pairs of them are one piece of code with one derivation of the bound.
#pragma once

#include <optional>

#include "reference/weight_reading.hpp"

namespace greta::reference {

enum class QkScale : uint8_t { root, none, squared };          // 1/sqrt(Dh), 1, 1/Dh
enum class Gain : uint8_t { weight, none, plus_one };          // w, 1, 1 + w
enum class Activation : uint8_t { silu, gelu, gelu_tanh };     // g/(1 + e^-g), g·Φ(g), its tanh formula
enum class Residual : uint8_t { sum, branch, stream, twice };  // x + b, b, x, x + x + b
enum class CacheRows : uint8_t { right, stale, missing, late, early };  // see stored.cpp

struct Variant {
  // The weight
  int weight_layer = 0;         // that of so many layers on, around the ends
  bool partner_weight = false;  // that of v for k, of up for gate, and the other way round
  WeightReading reading;

  // Operands
  bool operands_exchanged = false;
  bool previous_row = false;  // row s is row s - 1, row 0 itself
  bool layer_zero = false;    // layer 0's

  // Products
  int64_t last_terms_left_out = 0;
  bool half_sum = false;  // the first half of the terms in f16, one after another

  // Embedding
  bool next_token = false, zeroed_rows = false;

  // RoPE
  bool rope_halves = false;  // pairs (i, i + rope_dims/2)
  int rope_shift = 0;        // of the positions
  std::optional<double> rope_base;
  int rope_turns = 1;  // so many times
  bool rope_backwards = false;

  // Attention
  QkScale qk_scale = QkScale::root;
  bool kv_head_modulo = false;        // h % Hkv instead of h / (H/Hkv)
  std::optional<int> mask_shift = 0;  // position + shift is the last that is seen; empty: all are
  std::optional<int64_t> window;      // only positions below it are read
  bool softmax_base_2 = false, softmax_sum_short = false, softmax_keeps_max = false;

  // Norms
  Gain gain = Gain::weight;
  bool mean_subtracted = false;
  std::optional<double> norm_eps;
  bool eps_outside_root = false;

  Activation activation = Activation::silu;
  Residual residual = Residual::sum;

  // What is stored (hypotheses/stored.hpp)
  bool heads_scaled = false;        // by factors that are fitted
  bool tiles_transposed = false;    // 16×16, full ones
  bool tail_rows_left_out = false;  // beyond the last multiple of 16
  bool cache_by_column = false;
  CacheRows cache_rows = CacheRows::right;
};

inline const Variant kRight;

}  // namespace greta::reference
