// op=attention: what flash and split-K kernels give is inside the bounds, twice a bound is not, and what goes
// wrong inside the kernel is told from its output alone.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/audit.hpp"
#include "reference/float_attention.hpp"
#include "reference/hypothesis.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

// Two layers' q, keys and values, as an engine would have them.
struct Scene {
  const Model& model;
  Call call;
  FloatMatrix q, keys, values, other_keys, other_values;

  Fetch fetch() const {
    return [this](const OperandRef& ref) {
      if (ref.stage == Stage::q_rope) return q.to_f64();
      if (ref.stage == Stage::k_cache) return (ref.layer == 0 ? other_keys : keys).to_f64();
      EXPECT_EQ(ref.stage, Stage::v_cache);
      return (ref.layer == 0 ? other_values : values).to_f64();
    };
  }
  Contract contract(const FusedKernel& kernel) const {
    return Contract::parse(kernel.contract(call.T(), model.config().head_dim));
  }
  Bounded bounded(const FusedKernel& kernel) const {
    return local(model, Stage::attn_out, 1, call, contract(kernel), fetch());
  }
  Matrix run(const FusedKernel& kernel, const FusedFault& fault = {}) const {
    return fused_attention(kernel, model.config(), call.start, q, keys, values, fault).to_f64();
  }
};

// `sharp`: the size of scores; `mean`: what all values have in common.
FloatMatrix random_matrix(int64_t rows, int64_t columns, float size, float mean, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  FloatMatrix m(rows, columns);
  for (auto& x : m.data) x = mean + size * normal(random);
  return m;
}

Scene scene_of(const Model& model, int64_t start, int64_t S, float sharp, float mean,
               std::mt19937_64& random) {
  const auto& c = model.config();
  Scene scene{model, {}, {}, {}, {}, {}, {}};
  scene.call.start = static_cast<int>(start);
  scene.call.tokens.assign(static_cast<size_t>(S), 1);
  const int64_t T = start + S, columns = c.kv_heads * c.head_dim;
  scene.q = random_matrix(S, c.heads * c.head_dim, sharp, 0, random);
  scene.keys = random_matrix(T, columns, 1, 0, random);
  scene.values = random_matrix(T, columns, 1, mean, random);
  scene.other_keys = random_matrix(T, columns, 1, 0, random);
  scene.other_values = random_matrix(T, columns, 1, mean, random);
  return scene;
}

double worst_ratio(const Matrix& actual, const Bounded& bounded, const Matrix& bound) {
  double worst = 0;
  for (Eigen::Index i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual.data()[i] - bounded.value.data()[i]);
    if (!(error <= 0)) worst = std::max(worst, std::isnan(error) ? INFINITY : error / bound.data()[i]);
  }
  return worst;
}

SynthesisOptions shape(int64_t heads, int64_t kv_heads, int64_t head_dim) {
  return {.preset = "tiny",
          .quant = "f32",
          .layers = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim};
}

const std::vector<std::pair<std::string, FusedKernel>>& kernels() {
  using R = Rounding;
  static const std::vector<std::pair<std::string, FusedKernel>> all = {
      {"flash f32", {.tile = 32}},
      {"flash f32 base 2", {.tile = 64, .base_2 = true, .backwards = true}},
      {"split f32", {.tile = 16, .parts = 5, .base_2 = true}},
      {"flash f16", {.operands = R::f16, .p = R::f16, .tile = 64, .base_2 = true}},
      {"flash bf16", {.operands = R::bf16, .p = R::bf16, .tile = 32, .backwards = true}},
      {"flash f16 hopper",
       {.operands = R::f16, .p = R::f16, .unit = Unit::hopper, .tile = 64, .base_2 = true}},
      {"flash bf16 hopper", {.operands = R::bf16, .p = R::bf16, .unit = Unit::hopper, .tile = 48}},
      {"flash f16 cdna3", {.operands = R::f16, .p = R::f16, .unit = Unit::cdna3, .tile = 32, .base_2 = true}},
      {"flash f16 cdna2", {.operands = R::f16, .p = R::f16, .unit = Unit::cdna2, .tile = 32, .base_2 = true}},
      {"split f16 cache", {.operands = R::f16, .tile = 32, .parts = 4, .base_2 = true}},
  };
  return all;
}

struct Size {
  int64_t start, S;
  float sharp, mean;
};

TEST(FusedAttention, FlashAndSplitKernelsAreInside) {
  std::mt19937_64 random(test_seed());
  const TestModel odd(shape(4, 2, 24)), wide(shape(2, 1, 128));
  const std::vector<Size> sizes = {{0, 1, 1, 0},   {0, 7, 3, 0},   {0, 65, 1, 1},     {200, 3, 10, 0},
                                   {999, 1, 1, 0}, {999, 1, 0, 3}, {1500, 1, 4, 0.5}, {60, 5, 30, 0}};
  std::map<std::string, double> expected, certain;
  for (const auto* model : {&odd, &wide}) {
    for (const auto& size : sizes) {
      const auto scene = scene_of(**model, size.start, size.S, size.sharp, size.mean, random);
      for (const auto& [name, kernel] : kernels()) {
        const auto bounded = scene.bounded(kernel);
        const Matrix actual = scene.run(kernel);
        const double ratio = worst_ratio(actual, bounded, bounded.expected);
        const auto what = fmt::format("{} start {} S {} sharp {} mean {} Dh {}", name, size.start, size.S,
                                      size.sharp, size.mean, (*model)->config().head_dim);
        EXPECT_LE(ratio, 1) << what;
        EXPECT_LE(worst_ratio(actual, bounded, bounded.certain), 1) << what;
        EXPECT_TRUE((bounded.expected.array() <= bounded.certain.array()).all()) << what;
        if (size.S > 1 && size.sharp == 1) {
          EXPECT_GE(ratio, 0.02) << what << " is idle";
        }
        expected[name] = std::max(expected[name], ratio);
        certain[name] = std::max(certain[name], worst_ratio(actual, bounded, bounded.certain));
      }
    }
  }
  for (const auto& [name, ratio] : expected)
    fmt::print("{:<20} worst error {:.3f} of expected, {:.4f} of certain\n", name, ratio, certain[name]);
}

// How small a share of the values the bound is: it has to be worth something.
TEST(FusedAttention, TwiceTheBoundIsOutsideAndIsSmall) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(4, 2, 64));
  const auto scene = scene_of(*model, 100, 9, 2, 0, random);
  for (const auto& [name, kernel] : kernels()) {
    const auto bounded = scene.bounded(kernel);
    for (Eigen::Index i = 0; i < bounded.value.size(); ++i) {
      const double value = bounded.value.data()[i], bound = bounded.expected.data()[i];
      const auto moved = static_cast<float>(value + 2.01 * bound);
      ASSERT_GT(std::abs(moved - value), bound) << name;
    }
    const double relative = bounded.expected.norm() / bounded.value.norm();
    EXPECT_LT(relative, kernel.p == Rounding::f32 ? 4e-5 : kernel.p == Rounding::f16 ? 4e-3 : 3e-2) << name;
    fmt::print("{:<20} bound {:.2e} of the output's size\n", name, relative);
  }
}

TEST(FusedAttention, JudgedByAnotherContractItIsOut) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(4, 2, 64));
  const auto scene = scene_of(*model, 300, 5, 2, 0.5f, random);
  const FusedKernel f32{.tile = 32}, half = kernels()[3].second;
  FusedKernel p_alone = f32;
  p_alone.p = Rounding::f16;
  const auto as_f32 = scene.bounded(f32);
  EXPECT_GT(worst_ratio(scene.run(half), as_f32, as_f32.expected), 3);
  EXPECT_GT(worst_ratio(scene.run(p_alone), as_f32, as_f32.expected), 3) << "p rounded and not declared";
  EXPECT_LE(worst_ratio(scene.run(f32), as_f32, as_f32.expected), 1);
}

TEST(FusedAttention, IsItsStagesOneAfterAnother) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(6, 3, 20));
  const auto scene = scene_of(*model, 13, 8, 2, 0, random);
  const auto staged = [&](Stage stage, const char* contract, std::vector<Matrix> operands) {
    const auto refs = operands_of(stage, 1);
    return local(*model, stage, 1, scene.call, Contract::parse(contract),
                 [&](const OperandRef& ref) { return operands[ref.stage == refs[0].stage ? 0 : 1]; });
  };
  const auto qk = staged(Stage::qk, "op=qk x=f16 w=f16 acc=f32 chain=20 out=f32 unit=ieee",
                         {scene.q.to_f64(), scene.keys.to_f64()});
  const auto p = staged(Stage::softmax, "op=softmax chain=21 exp=1 div=1", {qk.value});
  const auto pv = staged(Stage::pv, "op=pv x=f32 w=f16 acc=f32 chain=21 out=f32 unit=ieee",
                         {p.value, scene.values.to_f64()});
  const auto fused = scene.bounded({.operands = Rounding::f16, .p = Rounding::f16});
  // The last stage's weights are rounded to f32, which these are not.
  EXPECT_LT((fused.value - pv.value).cwiseAbs().maxCoeff(), 1e-6 * pv.value.cwiseAbs().maxCoeff());
}

TEST(FusedAttention, TheAuditAgreesAndSeesASlip) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(4, 2, 24));
  const auto scene = scene_of(*model, 40, 6, 3, 0, random);
  for (const auto& [name, kernel] : kernels()) {
    const auto contract = scene.contract(kernel);
    const auto fetch = scene.fetch();
    EXPECT_LT(audit(*model, Stage::attn_out, 1, scene.call, contract, fetch, 40, random()), 1e-5) << name;
    const Request request{*model, Stage::attn_out, 1, scene.call, contract, fetch};
    const auto bounded = scene.bounded(kernel);
    Matrix slipped = bounded.value;
    slipped.array() += bounded.expected.array();
    EXPECT_GT(audit_values(request, slipped, bounded.expected, 40, random()), 0.9) << name;
  }
}

TEST(FusedAttention, AMaskedPositionChangesNothingNotEvenNan) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(4, 2, 24));
  auto scene = scene_of(*model, 3, 5, 1, 0, random);
  const FusedKernel kernel = kernels()[3].second;
  const auto before = scene.bounded(kernel);
  scene.keys(6, 1) = NAN;
  scene.values(7, 30) = INFINITY;
  const auto after = scene.bounded(kernel);
  for (Eigen::Index s = 0; s < 5; ++s) {
    for (Eigen::Index i = 0; i < before.value.cols(); ++i) {
      const bool of_first = i < 48;  // heads 0 and 1 read KV head 0
      const bool key = s >= 3 && of_first, value = s == 4 && (i == 48 + 6 || i == 72 + 6);
      if (key) {
        EXPECT_TRUE(std::isnan(after.value(s, i)) && after.expected(s, i) == 0) << s << " " << i;
      } else if (value) {
        EXPECT_EQ(after.value(s, i), INFINITY) << s << " " << i;
      } else {
        EXPECT_EQ(after.value(s, i), before.value(s, i)) << s << " " << i;
      }
    }
  }
}

bool inside(const Matrix& actual, const std::optional<Bounded>& bounded) {
  return bounded && worst_ratio(actual, *bounded, bounded->expected) <= 1;
}

// Every way in which the kernel goes wrong is told from the others by the output alone.
TEST(FusedAttention, CausesAreToldApart) {
  std::mt19937_64 random(test_seed());
  const TestModel model(shape(8, 4, 24));
  const auto scene = scene_of(*model, 70, 9, 2, 0.3f, random);
  const std::map<std::string, FusedFault> planted = {
      {"qk_scale=left_out", {.no_scale = true}}, {"kv_head=modulo", {.modulo = true}},
      {"mask=one_ahead", {.mask_shift = 1}},     {"mask=one_behind", {.mask_shift = -1}},
      {"mask=left_out", {.no_mask = true}},      {"window=64", {.window = 64}},
      {"softmax_base=2", {.exp2_alone = true}},  {"softmax_sum=one_short", {.short_sum = true}}};
  for (const auto& kernel : {kernels()[0].second, kernels()[5].second, kernels()[9].second}) {
    const auto contract = scene.contract(kernel);
    const auto fetch = scene.fetch();
    std::map<std::string, Matrix> outputs = {{"right", scene.run(kernel)}};
    for (const auto& [cause, fault] : planted) outputs[cause] = scene.run(kernel, fault);
    Scene layer_0 = scene, by_column = scene, stale = scene;
    layer_0.keys = scene.other_keys;
    layer_0.values = scene.other_values;
    for (int64_t t = 0; t < scene.values.rows; ++t)
      for (int64_t i = 0; i < scene.values.columns; ++i)
        by_column.values(t, i) = scene.values.data[static_cast<size_t>(i * scene.values.rows + t)];
    for (auto* m : {&stale.keys, &stale.values})
      for (int64_t i = 0; i < m->columns; ++i) (*m)(m->rows - 1, i) = (*m)(m->rows - 2, i);
    outputs["layer_base=0"] = layer_0.run(kernel);
    outputs["cache_layout=col"] = by_column.run(kernel);
    outputs["cache_row=stale"] = stale.run(kernel);
    int explained = 0;
    for (const auto& [name, output] : outputs) {
      const Observation seen{*model, Stage::attn_out, 1, scene.call, contract, fetch, output};
      EXPECT_EQ(inside(output, suppose(seen, {})), name == "right") << name;
      for (const auto* cause : hypotheses_for(Stage::attn_out, "attention")) {
        const bool fits = inside(output, suppose(seen, std::array{cause}));
        EXPECT_EQ(fits, cause->text() == name) << name << " by " << cause->text();
        explained += fits;
      }
    }
    EXPECT_EQ(explained, 11) << "as many as are planted";
  }
}

TEST(FusedAttention, ACopiedOutputHasNoneOfItsCauses) {
  EXPECT_TRUE(hypotheses_for(Stage::attn_out).empty());
  const auto refs = operands_of(Stage::attn_out, 3, "attention");
  ASSERT_EQ(refs.size(), 3u);
  EXPECT_EQ(refs[0].stage, Stage::q_rope);
  EXPECT_EQ(operands_of(Stage::attn_out, 3).size(), 1u);
}

}  // namespace
}  // namespace greta::reference
