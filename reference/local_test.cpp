// Every stage of a correct f32 engine is inside its bounds, and a small fault in any of them is outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/float_llama.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

using Worst = std::map<Stage, double>;

std::vector<int> layers_of(const Model& model, Stage stage) {
  if (!info(stage).per_layer) return {-1};
  std::vector<int> layers(static_cast<size_t>(model.config().layers));
  for (size_t l = 0; l < layers.size(); ++l) layers[l] = static_cast<int>(l);
  return layers;
}

double ratio(double actual, double value, double bound) {
  if (actual == value || (std::isnan(actual) && std::isnan(value))) return 0;
  const double error = std::abs(actual - value);
  return error <= bound * 1e300 ? error / bound : INFINITY;
}

// The largest error over expected bound of each stage, after one call.
Worst check(const Model& model, const FloatLlama& engine, const Call& call) {
  Worst worst;
  for (const auto& row : stages()) {
    for (const int layer : layers_of(model, row.stage)) {
      const auto bounded = local(model, row.stage, layer, call, engine.contract(row.stage), engine.fetch());
      const Matrix actual = engine.stage(row.stage, layer);
      EXPECT_EQ(actual.rows(), bounded.value.rows());
      EXPECT_EQ(actual.cols(), bounded.value.cols());
      EXPECT_FALSE(bounded.reason.empty());
      EXPECT_TRUE((bounded.expected.array() <= bounded.certain.array()).all()) << row.name;
      for (Eigen::Index i = 0; i < actual.size(); ++i)
        worst[row.stage] = std::max(
            worst[row.stage], ratio(actual.data()[i], bounded.value.data()[i], bounded.expected.data()[i]));
    }
  }
  return worst;
}

Call random_call(const Model& model, int start, int count, std::mt19937_64& random) {
  Call call{.tokens = {}, .start = start};
  for (int i = 0; i < count; ++i)
    call.tokens.push_back(static_cast<int32_t>(random() % model.config().vocabulary));
  return call;
}

TEST(Local, ACorrectEngineIsInsideInEveryStage) {
  std::mt19937_64 random(test_seed());
  Worst overall;
  for (const std::string quant : {"f32", "f16", "q8_0", "q4_k_m"}) {
    for (const bool half : {false, true}) {
      SynthesisOptions options{.preset = "tiny", .quant = quant, .seed = random()};
      options.tied = half;
      options.rope_factors = half;
      const TestModel model(options);
      const auto& order = summations()[random() % summations().size()];
      FloatLlama engine(*model, order, half);
      SCOPED_TRACE(quant + (half ? " f16 " : " f32 ") + order.name);
      const std::vector<Call> calls = {random_call(*model, 0, 11, random), random_call(*model, 11, 1, random),
                                       random_call(*model, 12, 3, random)};
      for (const auto& call : calls) {
        engine.forward(call);
        for (const auto& [stage, worst] : check(*model, engine, call)) {
          EXPECT_LE(worst, 1) << name_of(stage) << " at " << call.start;
          overall[stage] = std::max(overall[stage], worst);
        }
      }
    }
  }
  for (const auto& [stage, worst] : overall) {
    RecordProperty(std::string(name_of(stage)), std::to_string(worst));
    if (stage == Stage::k_cache || stage == Stage::v_cache || stage == Stage::attn_out) {
      EXPECT_EQ(worst, 0) << name_of(stage);
    } else if (stage != Stage::embed) {  // whose differences are exact in f32 unless d and dmin are far apart
      EXPECT_GE(worst, 0.02) << name_of(stage) << " is idle";
    }
  }
}

TEST(Local, TwiceTheExpectedBoundIsSeenInEveryStage) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "q4_k_m", .seed = random()});
  FloatLlama engine(*model, summations()[5], false);
  const auto call = random_call(*model, 0, 9, random);
  engine.forward(call);
  for (const auto& row : stages()) {
    const int layer = row.per_layer ? 1 : -1;
    const auto bounded = local(*model, row.stage, layer, call, engine.contract(row.stage), engine.fetch());
    double smallest = INFINITY;  // relative change that is noticed
    for (Eigen::Index i = 0; i < bounded.value.size(); ++i) {
      const double value = bounded.value.data()[i], bound = bounded.expected.data()[i];
      if (!std::isfinite(value) || value == 0) continue;
      smallest = std::min(smallest, 2 * bound / std::abs(value));
      const double moved =
          static_cast<double>(std::nextafter(static_cast<float>(value + 2.01 * bound), INFINITY));
      ASSERT_GT(ratio(moved, value, bound), 1) << row.name;
    }
    EXPECT_LT(smallest, 1e-3) << row.name << ": the bound is wider than a thousandth of every value";
    RecordProperty(std::string(row.name), std::to_string(smallest * 1e9) + "e-9");
  }
}

TEST(Local, AFaultShowsInItsStageAndInNoLaterOne) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "q4_k_m", .seed = random()});
  for (const auto& row : stages()) {
    FloatLlama engine(*model, summations()[5], false);
    engine.tamper = [&](Stage stage, int layer, FloatMatrix& matrix) {
      if (stage == row.stage && layer <= 0) matrix.data[matrix.data.size() / 2 - 3] += 0.01f;
    };
    const auto call = random_call(*model, 0, 9, random);
    engine.forward(call);
    auto worst = check(*model, engine, call);
    for (const auto& [stage, largest] : worst) {
      if (stage != row.stage) {
        EXPECT_LE(largest, 1) << row.name << " seen in " << name_of(stage);
      } else if (stage != Stage::qk) {
        EXPECT_GT(largest, 10) << row.name;
      }
    }
  }
}

TEST(Local, NanInTheEngineIsNanInTheReference) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "f32", .seed = random()});
  FloatLlama engine(*model, summations()[0], false);
  engine.tamper = [](Stage stage, int layer, FloatMatrix& matrix) {
    if (stage == Stage::attn_residual && layer == 0) matrix(2, 7) = NAN;
  };
  const auto call = random_call(*model, 0, 5, random);
  engine.forward(call);
  for (const auto& [stage, worst] : check(*model, engine, call)) {
    if (stage == Stage::attn_residual) {
      EXPECT_EQ(worst, INFINITY) << "a NaN of its own is an error";
    } else {
      EXPECT_LE(worst, 1) << name_of(stage);
    }
  }
}

TEST(Local, RefusesTheWrongContractAndShape) {
  const TestModel model({.preset = "tiny", .quant = "f32"});
  FloatLlama engine(*model, summations()[0], false);
  const Call call{.tokens = {1, 2, 3}, .start = 0};
  engine.forward(call);
  const auto refusal = [&](const Contract& contract, const Fetch& fetch) -> std::string {
    try {
      local(*model, Stage::q, 0, call, contract, fetch);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(Contract::parse("op=add"), engine.fetch()),
              testing::HasSubstr("declares op=add, matmul was expected"));
  EXPECT_THAT(
      refusal(engine.contract(Stage::q), [](const OperandRef&) -> Matrix { return Matrix::Zero(3, 5); }),
      testing::HasSubstr("needs attn_norm as [3, "));
}

TEST(Local, WeightsAreExactButForTheKQuantsDifference) {
  const TestModel model({.preset = "tiny", .quant = "q4_k_m"});
  const auto file = GgufFile::open(model.path());
  for (const auto& tensor : file.tensors()) {
    const auto bounded = local_weight(*model, tensor.name, Contract::parse("op=dequant w=f32"));
    for (Eigen::Index i = 0; i < bounded.value.size(); ++i) {
      const double value = bounded.value.data()[i], nearest = static_cast<float>(value);
      ASSERT_LE(std::abs(nearest - value), bounded.expected.data()[i]);
      ASSERT_EQ(bounded.certain.data()[i] == 0, nearest == value) << tensor.name;
    }
    const auto half = local_weight(*model, tensor.name, Contract::parse("op=dequant w=f16"));
    for (Eigen::Index i = 0; i < half.value.size(); ++i)
      ASSERT_LE(std::abs(to_f16(static_cast<float>(bounded.value.data()[i])) - half.value.data()[i]),
                half.expected.data()[i]);
  }
}

}  // namespace
}  // namespace greta::reference
