// x=i32 w=parts in a model: stages, the audit, hypotheses, the engine's own view, chained mode.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/dequantise.hpp"
#include "reference/float_llama.hpp"
#include "reference/hypotheses/hypothesis_scene.hpp"
#include "reference/parts_emulation.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using ::testing::HasSubstr;

class MatmulByParts : public testing::Test {
 protected:
  MatmulByParts() : model_({.preset = "tiny", .quant = "q4_k_m", .seed = random_()}) {
    call_.tokens = {5, 9, 17};
  }
  int layer_of(Stage stage) const { return info(stage).per_layer ? 1 : -1; }
  std::string weight_name(Stage stage) const { return weight_of(*model_, stage, layer_of(stage)); }

  void take_operand(Stage stage) {
    const auto columns = model_->weight_info(weight_name(stage)).columns;
    std::normal_distribution<float> normal;
    x_ = Matrix::NullaryExpr(call_.S(), columns, [&] { return double{normal(random_)}; });
    fetch_ = [this](const OperandRef&) { return x_; };
  }
  PartsRoute route_of(Stage stage) const {
    return PartsRoute::of(model_->weight_info(weight_name(stage)).type);
  }
  static Contract contract_of(const PartsRoute& route, int64_t columns) {
    return Contract::parse(fmt::format("op=matmul x=i32 w=parts acc=i32 sum={} out=f32",
                                       route.sum(static_cast<size_t>(columns))));
  }
  std::vector<float> row_of_x(int64_t s) const { return {x_.row(s).data(), x_.row(s).data() + x_.cols()}; }
  Matrix emulated(Stage stage, const PartsRoute& route) const {
    const auto name = weight_name(stage);
    const auto weight = model_->weight_info(name);
    const auto K = static_cast<size_t>(weight.columns), subs = K / static_cast<size_t>(route.sub_block);
    Matrix y(call_.S(), weight.rows);
    PartsRow row{std::vector<double>(K), std::vector<double>(subs), std::vector<double>(subs)};
    for (int64_t s = 0; s < call_.S(); ++s) {
      const auto x = fixed(row_of_x(s));
      for (int64_t n = 0; n < weight.rows; ++n) {
        dequantise_parts(weight.type, model_->weight_bytes(name, n), row.integers, row.scales, row.minima);
        y(s, n) = emulated_product(route, x, row);
      }
    }
    return y;
  }
  // x' · w in float64, stored as f32.
  Matrix plain(const Matrix& w) const {
    Matrix y(call_.S(), w.rows());
    for (int64_t s = 0; s < call_.S(); ++s) {
      const auto x = fixed(row_of_x(s));
      for (int64_t n = 0; n < w.rows(); ++n) {
        double sum = 0;
        for (int64_t k = 0; k < w.cols(); ++k)
          sum += w(n, k) *
                 std::ldexp(static_cast<double>(x.X[static_cast<size_t>(k)]), -x.p[static_cast<size_t>(k)]);
        y(s, n) = static_cast<float>(sum);
      }
    }
    return y;
  }

  const uint64_t seed_ = test_seed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("GRETA_TEST_SEED={}", seed_)};
  std::mt19937_64 random_{seed_};
  TestModel model_;
  Call call_;
  Matrix x_;
  Fetch fetch_;
};

TEST_F(MatmulByParts, EveryKindOfStageIsInsideAndTheAuditAgrees) {
  std::set<GgmlType> types;
  for (const Stage stage : {Stage::q, Stage::v, Stage::ffn_gate, Stage::ffn_down, Stage::logits}) {
    take_operand(stage);
    types.insert(model_->weight_info(weight_name(stage)).type);
    for (int round = 0; round < 4; ++round) {
      SCOPED_TRACE(name_of(stage));
      const auto route = route_of(stage).varied(random_);
      const auto contract = contract_of(route, x_.cols());
      const auto bounded = local(*model_, stage, layer_of(stage), call_, contract, fetch_);
      Matrix y = emulated(stage, route);
      EXPECT_TRUE(inside(y, bounded));
      EXPECT_EQ(bounded.lean.size(), 0);
      EXPECT_LT(audit(*model_, stage, layer_of(stage), call_, contract, fetch_, 60, random_()), 1e-6);
      y(1, 3) += 2 * bounded.expected(1, 3) + 0x1p-22 * std::abs(y(1, 3));
      EXPECT_FALSE(inside(y, bounded));
    }
  }
  EXPECT_EQ(types, (std::set{GgmlType::Q4_K, GgmlType::Q6_K}));
}

TEST_F(MatmulByParts, ARowThatIsNotFiniteIsNotFiniteThroughout) {
  take_operand(Stage::q);
  const auto contract = contract_of(route_of(Stage::q), x_.cols());
  x_(1, 7) = INFINITY;
  const auto bounded = local(*model_, Stage::q, 1, call_, contract, fetch_);
  EXPECT_TRUE(bounded.value.row(1).array().isNaN().all());
  EXPECT_TRUE(bounded.value.row(0).array().isFinite().all());
  EXPECT_THAT(bounded.reason, HasSubstr("not finite"));
}

TEST_F(MatmulByParts, AWeightWithoutPartsIsRefusedByName) {
  const TestModel other({.preset = "tiny", .quant = "q8_0", .seed = random_()});
  take_operand(Stage::q);
  const auto contract = contract_of(route_of(Stage::q), x_.cols());
  try {
    local(*other, Stage::q, 1, call_, contract, fetch_);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid);
    EXPECT_THAT(error.what(), HasSubstr("blk.1.attn_q.weight is Q8_0"));
  }
}

TEST_F(MatmulByParts, TheEnginesOwnViewIsJudged) {
  take_operand(Stage::q);
  const auto name = weight_name(Stage::q);
  const auto weight = model_->weight_info(name);
  const Matrix view = Matrix::Random(weight.rows, weight.columns).cast<float>().cast<double>();
  const std::vector<float> values(view.data(), view.data() + view.size());
  const auto tensor = std::make_shared<const Tensor>(Tensor::from_f32({weight.rows, weight.columns}, values));
  const auto contract = contract_of(route_of(Stage::q), x_.cols());
  const auto own = [&](const std::string& asked) { return asked == name ? tensor : nullptr; };
  EXPECT_TRUE(inside(plain(view), local(*model_, Stage::q, 1, call_, contract, fetch_, own)));
  EXPECT_FALSE(inside(plain(view), local(*model_, Stage::q, 1, call_, contract, fetch_)));
}

// Every hypothesis of a product can be supposed, and none fits the right output; one unpacked wrongly, one of
// another order and one of fewer terms fit what they say.
TEST_F(MatmulByParts, HypothesesVaryIt) {
  for (const Stage stage : {Stage::k, Stage::v, Stage::ffn_down}) {
    take_operand(stage);
    const auto route = route_of(stage);
    const auto contract = contract_of(route, x_.cols());
    const Matrix right = emulated(stage, route);
    int supposed = 0;
    for (const auto* cause : hypotheses_for(stage)) {
      const std::array<const Cause*, 1> one = {cause};
      Message why;
      const auto bounded =
          suppose({*model_, stage, layer_of(stage), call_, contract, fetch_, right}, one, &why);
      EXPECT_NE(bounded.has_value(), !why.empty()) << cause->text();
      if (!bounded) continue;
      ++supposed;
      EXPECT_FALSE(inside(right, *bounded)) << cause->text() << " of " << name_of(stage);
    }
    EXPECT_GT(supposed, 5);
  }
  take_operand(Stage::q);
  const auto contract = contract_of(route_of(Stage::q), x_.cols());
  const auto fits = [&](std::string_view cause, const Matrix& w) {
    const std::array<const Cause*, 1> one = {&find_cause(cause)};
    const Matrix y = plain(w);
    const auto bounded = suppose({*model_, Stage::q, 1, call_, contract, fetch_, y}, one);
    EXPECT_TRUE(bounded && inside(y, *bounded)) << cause;
  };
  const auto file = GgufFile::open(model_.path());
  const auto& tensor = file.tensor(weight_name(Stage::q));
  const auto wrong = wrong_weight(tensor, "q4_k_nibbles=swapped");
  const Matrix w = *model_->weight(weight_name(Stage::q));
  fits("q4_k_nibbles=swapped",
       Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>(wrong.data(), w.rows(), w.cols())
           .cast<double>());
  Matrix by_column(w.rows(), w.cols()), shorter = w;
  for (Eigen::Index n = 0; n < w.rows(); ++n)
    for (Eigen::Index k = 0; k < w.cols(); ++k) by_column(n, k) = w.data()[k * w.rows() + n];
  fits("weight_layout=col", by_column);
  shorter.rightCols(16).setZero();
  fits("tail=terms_left_out", shorter);
}

TEST_F(MatmulByParts, ChainedModeCountsItAsNoise) {
  FloatLlama engine(*model_, summations()[0], false);
  engine.forward(call_);
  const auto contracts = [&](bool parts) {
    return [this, parts, &engine](Stage stage, int layer) {
      const auto given = engine.contract(stage);
      if (!parts || given.op != "matmul") return given;
      const auto weight = model_->weight_info(weight_of(*model_, stage, layer));
      return contract_of(PartsRoute::of(weight.type), weight.columns);
    };
  };
  std::map<std::pair<Stage, bool>, Matrix> values, envelopes;
  for (const bool parts : {false, true}) {
    const std::vector<ChainCall> chain = {{call_, contracts(parts)}};
    chained(*model_, chain, {.reruns = 8, .seed = 7},
            [&](int, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
              if (layer > 0) return;
              values[{stage, parts}] = value;
              envelopes[{stage, parts}] = envelope;
            });
  }
  for (const auto& row : stages()) {
    EXPECT_EQ((values[{row.stage, true}]), (values[{row.stage, false}])) << row.name;
    EXPECT_TRUE((envelopes[{row.stage, true}]).allFinite()) << row.name;
  }
  // Of the size of f32's own, not of f16's.
  const double share = (envelopes[{Stage::q, true}]).mean() / (envelopes[{Stage::q, false}]).mean();
  EXPECT_GT(share, 0.05);
  EXPECT_LT(share, 20);
}

}  // namespace
}  // namespace greta::reference
