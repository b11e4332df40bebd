// For tests: a model, an engine and three calls on which the causes differ from each other.
#pragma once

#include "reference/hypotheses/float_faults.hpp"
#include "reference/hypothesis.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {

inline bool inside(const Matrix& actual, const Bounded& bounded) {
  for (Eigen::Index i = 0; i < actual.size(); ++i) {
    const double a = actual.data()[i], v = bounded.value.data()[i];
    if (a == v || (std::isnan(a) && std::isnan(v))) continue;
    if (!(std::abs(a - v) <= bounded.expected.data()[i])) return false;
  }
  return true;
}

// A model whose sizes differ from each other and from the tile's, and an engine after three calls, with rows
// near eps, scores beyond 88.7 and more than 64 positions.
class Scene {
 public:
  Scene(const std::string& quant, bool half, uint64_t seed)
      : model_({.preset = "tiny",
                .quant = quant,
                .seed = seed,
                .layers = 3,
                .heads = 8,
                .head_dim = 24,
                .feed_forward = 272,
                .rope_factors = true}),
        file_(GgufFile::open(model_.path())),
        order_(summations()[seed % summations().size()]),
        engine_(*model_, order_, half),
        half_(half),
        random_(seed) {
    engine_.tamper = [](Stage stage, int, FloatMatrix& matrix) {
      if (matrix.rows == 1) return;
      if (stage == Stage::qk)
        for (float& score : matrix.data)
          score = score > -1e30f && &score - matrix.data.data() < 400 ? score + 100 : score;
      if (stage != Stage::embed && stage != Stage::attn_residual && stage != Stage::ffn_residual) return;
      for (int64_t k = 0; k < matrix.columns; ++k) matrix(0, k) *= 0.003f;
    };
    engine_.forward(call_ = random_call(0, 11));
    engine_.forward(call_ = random_call(11, 70));
  }

  void decode() { engine_.forward(call_ = random_call(static_cast<int>(call_.T()), 1)); }

  const Model& model() const { return *model_; }
  const GgufFile& file() const { return file_; }
  const Call& call() const { return call_; }
  FloatScene scene() const { return {*model_, file_, engine_, call_, order_, half_}; }
  Matrix wrong(const Cause& cause, Stage stage) const {
    return wrong_stage(scene(), cause, stage, layer_of(stage)).to_f64();
  }
  std::optional<Bounded> suppose(std::span<const Cause* const> causes, Stage stage, const Matrix& output,
                                 Message* why = nullptr) const {
    const auto contract = engine_.contract(stage);
    return reference::suppose({*model_, stage, layer_of(stage), call_, contract, engine_.fetch(), output},
                              causes, why);
  }
  Bounded right(Stage stage) const {
    return local(*model_, stage, layer_of(stage), call_, engine_.contract(stage), engine_.fetch());
  }
  static int layer_of(Stage stage) { return info(stage).per_layer ? 1 : -1; }

 private:
  Call random_call(int start, int count) {
    Call call{.tokens = {}, .start = start};
    for (int i = 0; i < count; ++i)
      call.tokens.push_back(static_cast<int32_t>(random_() % (*model_).config().vocabulary));
    return call;
  }

  TestModel model_;
  GgufFile file_;
  const Summation& order_;
  FloatLlama engine_;
  bool half_;
  std::mt19937_64 random_;
  Call call_;
};

}  // namespace greta::reference
