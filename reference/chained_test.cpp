#include <gtest/gtest.h>
#include <tbb/global_control.h>

#include "datasets/test_seed.hpp"
#include "reference/float_llama.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

struct Seen {
  Matrix value, envelope;
};
using Run = std::map<std::tuple<int, Stage, int>, Seen>;

// Two calls, a prefill and a decode step, with the contracts that the engine declares in each.
std::vector<Call> two_calls(const Model& model, int count, std::mt19937_64& random) {
  std::vector<Call> calls(2);
  for (int i = 0; i <= count; ++i)
    calls[i == count].tokens.push_back(static_cast<int32_t>(random() % model.config().vocabulary));
  calls[1].start = count;
  return calls;
}

Run run_chain(const Model& model, const std::vector<Call>& calls, FloatLlama& engine,
              const ChainOptions& options) {
  std::vector<ChainCall> chain;
  for (const auto& call : calls) {
    std::map<Stage, Contract> contracts;
    engine.forward(call);
    for (const auto& row : stages()) contracts[row.stage] = engine.contract(row.stage);
    chain.push_back({call, [contracts](Stage stage, int) { return contracts.at(stage); }});
  }
  Run run;
  chained(model, chain, options,
          [&](int index, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
            const bool fresh = run.insert({{index, stage, layer}, {value, envelope}}).second;
            EXPECT_TRUE(fresh) << "visited twice";
          });
  return run;
}

double worst_ratio(const Matrix& actual, const Seen& seen) {
  double worst = 0;
  for (Eigen::Index i = 0; i < actual.size(); ++i) {
    const double a = actual.data()[i], v = seen.value.data()[i];
    if (a != v) worst = std::max(worst, std::isnan(a) ? INFINITY : std::abs(a - v) / seen.envelope.data()[i]);
  }
  return worst;
}

TEST(Chained, EveryStageIsTheLocalOneOfItsOwnOperands) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "f32", .seed = random(), .rope_factors = true});
  FloatLlama engine(*model, summations()[0], false);
  const auto calls = two_calls(*model, 7, random);
  const auto run = run_chain(*model, calls, engine, {.reruns = 2, .seed = random()});
  EXPECT_EQ(run.size(), 2 * (3 + 20 * static_cast<size_t>(model->config().layers)));
  for (const auto& [key, seen] : run) {
    const auto [index, stage, layer] = key;
    const auto& call = calls[static_cast<size_t>(index)];
    const Fetch fetch = [&](const OperandRef& ref) -> Matrix {
      const auto& now = run.at({index, ref.stage, ref.layer}).value;
      if (!ref.history || index == 0) return now;
      Matrix both(call.T(), now.cols());
      both << run.at({0, ref.stage, ref.layer}).value, now;
      return both;
    };
    const auto bounded = local(*model, stage, layer, call, engine.contract(stage), fetch);
    for (Eigen::Index i = 0; i < seen.value.size(); ++i) {
      const double chained_value = seen.value.data()[i], value = bounded.value.data()[i];
      if (chained_value == value) continue;  // -inf too
      // Local mode rounds the operands of products to f32, which these, in float64, are not.
      ASSERT_LE(std::abs(chained_value - value), 0.5 * bounded.expected.data()[i]) << name_of(stage);
    }
  }
}

TEST(Chained, PrefillsLastRowIsDecodes) {
  std::mt19937_64 random(test_seed());
  const TestModel model({.preset = "tiny", .quant = "q4_k_m", .seed = random()});
  FloatLlama engine(*model, summations()[0], false);
  const auto calls = two_calls(*model, 7, random);
  Call whole{.tokens = calls[0].tokens, .start = 0};
  whole.tokens.push_back(calls[1].tokens[0]);
  const auto split = run_chain(*model, calls, engine, {.reruns = 2});
  const auto at_once = run_chain(*model, {whole}, engine, {.reruns = 2});
  const auto& decode = split.at({1, Stage::logits, -1}).value;
  const auto& prefill = at_once.at({0, Stage::logits, -1}).value;
  EXPECT_LT((decode.row(0) - prefill.bottomRows(1)).cwiseAbs().maxCoeff(), 1e-10);
}

TEST(Chained, ACorrectEngineIsInsideAndAFaultIsNot) {
  std::mt19937_64 random(test_seed());
  std::map<Stage, double> overall;
  for (const bool half : {false, true}) {
    const TestModel model({.preset = "tiny", .quant = half ? "q4_k_m" : "q8_0", .seed = random()});
    const auto calls = two_calls(*model, 24, random);
    for (const size_t order : {1, 5}) {
      SCOPED_TRACE(summations()[order].name + (half ? " f16" : " f32"));
      FloatLlama engine(*model, summations()[order], half);
      const auto run = run_chain(*model, calls, engine, {.reruns = 12, .seed = random()});
      double broken_worst = 0;
      FloatLlama broken(*model, summations()[order], half);
      broken.tamper = [](Stage stage, int layer, FloatMatrix& matrix) {
        if (stage == Stage::k_rope && layer == 0)
          for (int64_t i = 0; i < matrix.rows; ++i) matrix(i, 2) *= 1.2f;
      };
      for (size_t c = 0; c < calls.size(); ++c) {
        engine.forward(calls[c]);
        broken.forward(calls[c]);
        for (const auto& [key, seen] : run) {
          const auto [index, stage, layer] = key;
          if (index != static_cast<int>(c)) continue;
          const double worst = worst_ratio(engine.stage(stage, layer), seen);
          EXPECT_LE(worst, 1) << name_of(stage) << " layer " << layer << " call " << c;
          overall[stage] = std::max(overall[stage], worst);
          if (stage == Stage::logits)
            broken_worst = std::max(broken_worst, worst_ratio(broken.stage(stage, layer), seen));
        }
      }
      EXPECT_GT(broken_worst, half ? 1 : 20) << "one key dimension 20 % too large, seen in the logits";
    }
  }
  for (const auto& [stage, worst] : overall) {
    RecordProperty(std::string(name_of(stage)), std::to_string(worst));
    if (stage != Stage::embed) {
      EXPECT_GE(worst, 0.02) << name_of(stage) << " is idle";
    }
  }
}

TEST(Chained, DoesNotDependOnThreads) {
  const TestModel model({.preset = "tiny", .quant = "q8_0"});
  std::mt19937_64 random(test_seed());
  FloatLlama engine(*model, summations()[0], true);
  const auto calls = two_calls(*model, 9, random);
  const auto many = run_chain(*model, calls, engine, {.reruns = 3});
  const tbb::global_control one(tbb::global_control::max_allowed_parallelism, 1);
  const auto alone = run_chain(*model, calls, engine, {.reruns = 3});
  for (const auto& [key, seen] : many) {
    EXPECT_TRUE(seen.value == alone.at(key).value);
    EXPECT_TRUE(seen.envelope == alone.at(key).envelope);
  }
}

}  // namespace
}  // namespace greta::reference
