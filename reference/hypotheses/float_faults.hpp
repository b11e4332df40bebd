// For tests: each cause of the catalogue as plain f32 loops, written from its text, on the operands of a
// correct f32 engine. Nothing of the hypotheses is used.
#pragma once

#include <random>

#include "datasets/cause.hpp"
#include "reference/float_llama.hpp"

namespace greta::reference {

inline constexpr Cause kRightCause{"", "", "", "", "", ""};

struct FloatScene {
  const Model& model;
  const GgufFile& file;
  const FloatLlama& engine;
  const Call& call;
  const Summation& order;
  bool half;

  FloatMatrix operand(Stage stage, int layer, bool history = false) const;
};

// The stage as the cause has it; right for kRightCause. head_scale: the factors 1 + h/8.
FloatMatrix wrong_stage(const FloatScene&, const Cause&, Stage stage, int layer);
// One of each subject; wrong_stage chooses.
FloatMatrix wrong_product(const FloatScene&, const std::string& cause, Stage stage, int layer);
FloatMatrix wrong_attention(const FloatScene&, const std::string& cause, Stage stage, int layer);
FloatMatrix wrong_cache(const FloatScene&, const std::string& cause, Stage stage, int layer);
FloatMatrix wrong_rope(const FloatScene&, const std::string& cause, Stage stage, int layer);
FloatMatrix wrong_norm(const FloatScene&, const std::string& cause, Stage stage, int layer);
FloatMatrix wrong_elementwise(const FloatScene&, const std::string& cause, Stage stage, int layer);

// A weight as the cause has it, flat. "" is the right one.
std::vector<float> wrong_weight(const GgufTensor& tensor, const std::string& cause);

}  // namespace greta::reference
