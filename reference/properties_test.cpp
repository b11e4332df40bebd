// What the stages are, apart from how they are computed.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "datasets/test_seed.hpp"
#include "reference/config.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

class Properties : public testing::Test {
 protected:
  Properties()
      : random(test_seed()), model({.preset = "tiny", .quant = "f32", .seed = random(), .kv_heads = 2}) {}

  Matrix normal(Eigen::Index rows, Eigen::Index columns) {
    std::normal_distribution<double> deviate;  // floats, as an engine's are
    return Matrix::NullaryExpr(rows, columns,
                               [&] { return static_cast<double>(static_cast<float>(deviate(random))); });
  }
  Matrix value(Stage stage, const char* contract, int S, int start, std::vector<Matrix> operands) {
    const Call call{.tokens = std::vector<int32_t>(static_cast<size_t>(S), 1), .start = start};
    size_t next = 0;
    return local(*model, stage, 0, call, Contract::parse(contract),
                 [&](const OperandRef&) { return operands.at(next++); })
        .value;
  }
  const Config& config() const { return model->config(); }
  Eigen::Index width() const { return config().heads * config().head_dim; }
  Eigen::Index kv_width() const { return config().kv_heads * config().head_dim; }

  std::mt19937_64 random;
  TestModel model;
};

constexpr const char* kRope = "op=rope freq=f64 trig=1";
constexpr const char* kQk = "op=qk x=f32 w=f32 acc=f32 chain=9 out=f32 unit=ieee";
constexpr const char* kPv = "op=pv x=f32 w=f32 acc=f32 chain=9 out=f32 unit=ieee";
constexpr const char* kMatmul = "op=matmul x=f32 w=f32 acc=f32 chain=9 out=f32 unit=ieee";
constexpr const char* kSoftmax = "op=softmax chain=9 exp=1 div=1";

TEST_F(Properties, RopeTurnsPairsAndKeepsTheirLength) {
  const Matrix x = normal(4, width());
  const Matrix y = value(Stage::q_rope, kRope, 4, 100, {x});
  for (Eigen::Index s = 0; s < 4; ++s)
    for (Eigen::Index c = 0; c < width(); c += 2)
      EXPECT_NEAR(std::hypot(y(s, c), y(s, c + 1)), std::hypot(x(s, c), x(s, c + 1)), 1e-12);
  EXPECT_TRUE(value(Stage::q_rope, kRope, 1, 0, {x.topRows(1)}) == x.topRows(1))
      << "position 0 turns nothing";
  // The first pair turns by one radian a position.
  EXPECT_NEAR(y(1, 0), x(1, 0) * std::cos(101.0) - x(1, 1) * std::sin(101.0), 1e-12);
  EXPECT_NEAR(y(1, 1), x(1, 0) * std::sin(101.0) + x(1, 1) * std::cos(101.0), 1e-12);
}

TEST_F(Properties, ScoresDependOnTheDistanceOfPositionsOnly) {
  const Matrix q = normal(1, width()), k = normal(1, kv_width());
  const auto score = [&](int query, int key) {
    const Matrix turned_q = value(Stage::q_rope, kRope, 1, query, {q}),
                 turned_k = value(Stage::k_rope, kRope, 1, key, {k});
    return turned_q.leftCols(config().head_dim).row(0).dot(turned_k.leftCols(config().head_dim).row(0));
  };
  EXPECT_NEAR(score(30, 20), score(110, 100), 1e-4);
  EXPECT_GT(std::abs(score(30, 20) - score(31, 20)), 1e-3);
}

TEST_F(Properties, HeadsReadTheirGroupsKeys) {
  const int T = 5;
  const Eigen::Index Dh = config().head_dim, group = config().heads / config().kv_heads;
  const Matrix q = normal(T, width()), keys = normal(T, kv_width());
  const Matrix scores = value(Stage::qk, kQk, T, 0, {q, keys});
  Matrix swapped_keys = keys,
         swapped_q = q;  // exchanging the key heads and the query groups exchanges the scores
  swapped_keys << keys.rightCols(Dh), keys.leftCols(Dh);
  swapped_q << q.rightCols(group * Dh), q.leftCols(group * Dh);
  const Matrix swapped = value(Stage::qk, kQk, T, 0, {swapped_q, swapped_keys});
  EXPECT_TRUE(swapped.leftCols(group * T) == scores.rightCols(group * T));
  const Eigen::Index h = config().heads - 1;
  EXPECT_NEAR(scores(4, h * T + 2),
              q.row(4).segment(h * Dh, Dh).dot(keys.row(2).segment(h / group * Dh, Dh)) / std::sqrt(Dh),
              1e-12);
  for (int s = 0; s < T; ++s)
    for (int t = 0; t < T; ++t) EXPECT_EQ(scores(s, t) == -INFINITY, t > s);
}

TEST_F(Properties, SoftmaxSumsToOneAndDoesNotSeeAShift) {
  const int T = 6;
  Matrix scores = 8 * normal(1, config().heads * T);
  const Matrix p = value(Stage::softmax, kSoftmax, 1, T - 1, {scores});
  const Matrix shifted = value(Stage::softmax, kSoftmax, 1, T - 1, {(scores.array() + 64).matrix()});
  for (Eigen::Index h = 0; h < config().heads; ++h) EXPECT_NEAR(p.row(0).segment(h * T, T).sum(), 1, 1e-14);
  EXPECT_TRUE(p.isApprox(shifted, 1e-13));
  scores(0, 2) = -INFINITY;
  EXPECT_EQ(value(Stage::softmax, kSoftmax, 1, T - 1, {scores})(0, 2), 0);
  scores.setConstant(1);
  EXPECT_NEAR(value(Stage::softmax, kSoftmax, 1, T - 1, {scores})(0, 3), 1.0 / T, 1e-15);
}

TEST_F(Properties, OneHotWeightsPickAValue) {
  const int T = 7;
  const Eigen::Index Dh = config().head_dim, group = config().heads / config().kv_heads;
  const Matrix values = normal(T, kv_width());
  Matrix p = Matrix::Zero(1, config().heads * T);
  for (Eigen::Index h = 0; h < config().heads; ++h) p(0, h * T + h % T) = 1;
  const Matrix y = value(Stage::pv, kPv, 1, T - 1, {p, values});
  for (Eigen::Index h = 0; h < config().heads; ++h)
    EXPECT_TRUE(y.row(0).segment(h * Dh, Dh) == values.row(h % T).segment(h / group * Dh, Dh));
}

TEST_F(Properties, ProjectionsAreLinearAndSilentOnZero) {
  const Matrix x = normal(3, config().embedding);
  const Matrix y = value(Stage::q, kMatmul, 3, 0, {x});
  EXPECT_TRUE(value(Stage::q, kMatmul, 3, 0, {4 * x}).isApprox(4 * y, 1e-14));
  EXPECT_TRUE(value(Stage::q, kMatmul, 3, 0, {Matrix::Zero(3, config().embedding)}).isZero(0));
  EXPECT_TRUE(y.isApprox(x * model->weight("blk.0.attn_q.weight")->transpose(), 1e-13));
  Matrix padded(4, config().embedding);
  padded << x, Matrix::Zero(1, config().embedding);
  EXPECT_TRUE(value(Stage::q, kMatmul, 4, 0, {padded}).topRows(3).isApprox(y, 1e-14))
      << "rows do not see each other";
}

TEST_F(Properties, NormHasLengthOneBeforeItsGain) {
  const Matrix x = 100 * normal(2, config().embedding);
  const Matrix y = value(Stage::attn_norm, "op=rmsnorm chain=9 sqrt=1", 2, 0, {x});
  const auto gain = model->weight("blk.0.attn_norm.weight");
  for (Eigen::Index s = 0; s < 2; ++s) {
    const Matrix plain = y.row(s).cwiseQuotient(gain->row(0));
    EXPECT_NEAR(plain.squaredNorm() / static_cast<double>(config().embedding), 1, 1e-6);
    EXPECT_NEAR(plain(0, 3) / plain(0, 4), x(s, 3) / x(s, 4), 1e-9 * std::abs(x(s, 3) / x(s, 4)));
  }
}

TEST_F(Properties, GateByHand) {
  const Matrix zero = Matrix::Zero(1, config().feed_forward), one = Matrix::Ones(1, config().feed_forward);
  const auto act = [&](double gate) {
    return value(Stage::ffn_act, "op=swiglu exp=1 div=1", 1, 0, {gate * one, 3 * one})(0, 1);
  };
  EXPECT_EQ(act(0), 0);
  EXPECT_NEAR(act(1), 3 / (1 + std::exp(-1)), 1e-15);
  EXPECT_NEAR(act(50), 150, 1e-12);
  EXPECT_NEAR(act(-1) + 3, act(1), 1e-15) << "silu(x) - silu(-x) = x";
  EXPECT_NEAR(act(-200), 0, 1e-80);
}

TEST_F(Properties, LastLayerFeedsTheFinalNorm) {
  const Call call{.tokens = {1}, .start = 0};
  int asked = -2;
  local(*model, Stage::final_norm, -1, call, Contract::parse("op=rmsnorm chain=9 sqrt=1"),
        [&](const OperandRef& ref) {
          EXPECT_EQ(ref.stage, Stage::ffn_residual);
          asked = ref.layer;
          return normal(1, config().embedding);
        });
  EXPECT_EQ(asked, config().layers - 1);
}

}  // namespace
}  // namespace greta::reference
