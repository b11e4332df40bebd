// op=copy out=f16|bf16: the cache holds rounded values, exactly, and chained mode knows it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "datasets/test_seed.hpp"
#include "reference/float_attention.hpp"
#include "reference/rounding.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

float narrow(Rounding type, float x) {
  return type == Rounding::f16 ? to_f16(x) : bf16_to_f32(f32_to_bf16(x));
}

Contract copied(Rounding type) { return Contract::parse(fmt::format("op=copy out={}", name_of(type))); }

TEST(NarrowCache, IsExactlyTheRoundedValues) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "f32"});
  const Call call{.tokens = {1, 2, 3}, .start = 0};
  const auto& config = model->config();
  std::normal_distribution<double> normal;
  Matrix rows(3, config.kv_heads * config.head_dim);
  for (Eigen::Index i = 0; i < rows.size(); ++i)
    rows.data()[i] = static_cast<float>(std::ldexp(normal(random), static_cast<int>(random() % 40) - 28));
  rows(0, 0) = 65520;
  rows(0, 1) = -65519.996;
  rows(0, 2) = 0x1p-25;
  rows(0, 3) = static_cast<float>(0x1.8p-25);
  rows(1, 0) = NAN;
  for (const Rounding type : {Rounding::f16, Rounding::bf16}) {
    const auto bounded =
        local(*model, Stage::k_cache, 0, call, copied(type), [&](const OperandRef&) { return rows; });
    EXPECT_EQ(bounded.certain.cwiseAbs().maxCoeff(), 0);
    EXPECT_EQ(bounded.expected.cwiseAbs().maxCoeff(), 0);
    for (Eigen::Index i = 0; i < rows.size(); ++i) {
      const float want = narrow(type, static_cast<float>(rows.data()[i]));
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(bounded.value.data()[i]));
      } else {
        EXPECT_EQ(bounded.value.data()[i], want) << rows.data()[i];
      }
    }
    if (type == Rounding::f16) {
      EXPECT_EQ(bounded.value(0, 0), INFINITY);
      EXPECT_EQ(bounded.value(0, 1), -65504);
      EXPECT_EQ(bounded.value(0, 2), 0) << "a tie goes to even";
      EXPECT_EQ(bounded.value(0, 3), 0x1p-24);
    }
    EXPECT_LT(
        audit(
            *model, Stage::k_cache, 0, call, copied(type),
            [&](const OperandRef&) { return Matrix(rows.bottomRows(1).replicate(3, 1)); }, 50, random()),
        1e-9);
  }
}

// An engine with a narrow cache and fused attention, from the tokens on: inside the envelope of a reference
// that was told so, and outside of one that was not.
TEST(NarrowCache, AndFusedAttentionInChainedMode) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "q8_0", .seed = random()});
  const auto& config = model->config();
  std::vector<Call> calls(2);
  for (int i = 0; i < 21; ++i)
    calls[i == 20].tokens.push_back(
        static_cast<int32_t>(random() % static_cast<uint64_t>(config.vocabulary)));
  calls[1].start = 20;
  for (const Rounding type : {Rounding::f16, Rounding::bf16}) {
    const FusedKernel kernel{.operands = type, .p = type, .tile = 16, .base_2 = true};
    FloatLlama engine(*model, summations()[5], false);
    const Call* now = nullptr;
    std::map<std::pair<Stage, int>, FloatMatrix> caches;
    FloatMatrix q;
    engine.tamper = [&](Stage stage, int layer, FloatMatrix& matrix) {
      if (stage == Stage::q_rope) q = matrix;
      if (stage == Stage::k_cache || stage == Stage::v_cache) {
        for (auto& x : matrix.data) x = narrow(type, x);
        caches[{stage, layer}] = matrix;
      }
      if (stage == Stage::attn_out)
        matrix = fused_attention(kernel, config, now->start, q, caches.at({Stage::k_cache, layer}),
                                 caches.at({Stage::v_cache, layer}));
    };
    const auto contract = [&](Stage stage, const Call& call) {
      if (stage == Stage::k_cache || stage == Stage::v_cache) return copied(type);
      if (stage == Stage::attn_out) return Contract::parse(kernel.contract(call.T(), config.head_dim));
      return engine.contract(stage);
    };
    std::vector<ChainCall> chain;
    std::vector<std::map<std::pair<Stage, int>, Matrix>> actual;
    for (const auto& call : calls) {
      now = &call;
      engine.forward(call);
      std::map<Stage, Contract> contracts;
      auto& stages_now = actual.emplace_back();
      for (const auto& row : stages()) {
        contracts[row.stage] = contract(row.stage, call);
        for (int l = 0; l < config.layers; ++l)
          stages_now[{row.stage, row.per_layer ? l : -1}] = engine.stage(row.stage, row.per_layer ? l : -1);
      }
      chain.push_back({call, [contracts](Stage stage, int) { return contracts.at(stage); }});
    }
    std::map<Stage, double> worst;
    double largest_cache = 0;
    chained(*model, chain, {.reruns = 12, .seed = random()},
            [&](int index, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
              EXPECT_FALSE(stage == Stage::qk || stage == Stage::softmax || stage == Stage::pv);
              const Matrix& y = actual[static_cast<size_t>(index)].at({stage, layer});
              for (Eigen::Index i = 0; i < y.size(); ++i) {
                const double error = std::abs(y.data()[i] - value.data()[i]);
                if (error > 0) worst[stage] = std::max(worst[stage], error / envelope.data()[i]);
                if (stage == Stage::k_cache && layer == 0)
                  largest_cache = std::max(largest_cache, error / std::abs(value.data()[i]));
              }
            });
    EXPECT_GT(largest_cache, 0.5 * unit_roundoff(type)) << "the cache is rounded";
    for (const auto& [stage, ratio] : worst) {
      EXPECT_LE(ratio, 1) << name_of(stage) << " " << name_of(type);
      if (stage == Stage::attn_out || stage == Stage::k_cache || stage == Stage::logits) {
        EXPECT_GE(ratio, 0.02) << name_of(stage) << " is idle";
        fmt::print("chained {} {}: {:.3f} of the envelope\n", name_of(type), name_of(stage), ratio);
      }
    }
    for (auto& one : chain) {
      const auto right = one.contract;
      one.contract = [right](Stage stage, int layer) {
        return stage == Stage::k_cache || stage == Stage::v_cache ? Contract::parse("op=copy")
                                                                  : right(stage, layer);
      };
    }
    double undeclared = 0;
    chained(*model, chain, {.reruns = 4, .seed = random(), .layers = 1},
            [&](int index, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
              if (stage != Stage::k_cache) return;
              const Matrix& y = actual[static_cast<size_t>(index)].at({stage, layer});
              undeclared = std::max(undeclared, ((y - value).array().abs() / envelope.array()).maxCoeff());
            });
    EXPECT_GT(undeclared, 5);
  }
}

}  // namespace
}  // namespace greta::reference
