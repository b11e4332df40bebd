// Stages judged by the engine's own view of a weight: what they do with it, in plain loops, is inside the
// bound, whatever the file says of the weight.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/hypothesis.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

using Causes = std::vector<const Cause*>;
using ::testing::HasSubstr;

class OwnWeight : public testing::Test {
 protected:
  OwnWeight()
      : seed_(test_seed()), random_(seed_), model_({.preset = "tiny", .quant = "q4_k_m", .seed = seed_}) {
    fmt::print("GRETA_TEST_SEED={}\n", seed_);
    for (int i = 0; i < 19; ++i)
      call_.tokens.push_back(
          static_cast<int32_t>(random_() % static_cast<uint64_t>(model_->config().vocabulary)));
    x_ = normal(call_.S(), model_->config().embedding);
    fetch_ = [this](const OperandRef&) { return x_; };
  }

  // Values that f32 holds.
  Matrix normal(int64_t rows, int64_t columns) {
    std::normal_distribution<float> normal(0, 1);
    Matrix out(rows, columns);
    for (Eigen::Index i = 0; i < out.size(); ++i) out.data()[i] = normal(random_);
    return out;
  }
  Matrix view_of(const std::string& name) {
    const auto info = model_->weight_info(name);
    return normal(info.rows, info.columns);
  }
  static TensorPtr tensor(const Matrix& values) {
    const std::vector<float> f32(values.data(), values.data() + values.size());
    return std::make_shared<const Tensor>(Tensor::from_f32({values.rows(), values.cols()}, f32));
  }
  static OwnWeights own(const std::string& name, const Matrix& values) {
    return [=, held = tensor(values)](const std::string& asked) { return asked == name ? held : nullptr; };
  }
  Bounded stage(Stage stage, const std::string& contract, const OwnWeights& weights) {
    return local(*model_, stage, info(stage).per_layer ? 1 : -1, call_, Contract::parse(contract), fetch_,
                 weights);
  }
  static bool inside(const Matrix& actual, const Bounded& bounded) {
    return ((actual - bounded.value).array().abs() <= bounded.expected.array()).all();
  }
  // As an engine in f32 gives it.
  static Matrix in_f32(const Matrix& values) { return values.cast<float>().cast<double>(); }

  uint64_t seed_;
  std::mt19937_64 random_;
  TestModel model_;
  Call call_;
  Matrix x_;
  Fetch fetch_;
  const std::string q_ = "blk.1.attn_q.weight";
  const std::string f32_ = "op=matmul x=f32 w=f32 acc=f32 chain=256 out=f32 unit=ieee";
};

TEST_F(OwnWeight, AProductIsJudgedByIt) {
  const Matrix view = view_of(q_), y = in_f32(x_ * view.transpose());
  EXPECT_TRUE(inside(y, stage(Stage::q, f32_, own(q_, view))));
  EXPECT_FALSE(inside(y, stage(Stage::q, f32_, {})));
  // Another weight's view is no matter of this product.
  const auto right = stage(Stage::q, f32_, {});
  EXPECT_EQ(right.value, stage(Stage::q, f32_, own("blk.0.attn_q.weight", view)).value);
  Matrix moved = y;
  moved(3, 5) += 1e-2 * std::abs(y(3, 5)) + 1e-3;
  EXPECT_FALSE(inside(moved, stage(Stage::q, f32_, own(q_, view))));
}

TEST_F(OwnWeight, ANarrowProductRoundsIt) {
  const Matrix view = view_of(q_);
  const auto half = [](const Matrix& m) {
    return m
        .unaryExpr(
            [](double v) { return static_cast<double>(f16_to_f32(f32_to_f16(static_cast<float>(v)))); })
        .eval();
  };
  const Matrix y = in_f32(half(x_) * half(view).transpose());
  EXPECT_TRUE(
      inside(y, stage(Stage::q, "op=matmul x=f16 w=f16 acc=f32 chain=256 out=f32 unit=ieee", own(q_, view))));
}

TEST_F(OwnWeight, TheEmbeddingAndTheNormsReadIt) {
  const std::string table = "token_embd.weight", gain = "blk.1.attn_norm.weight";
  const Matrix rows = view_of(table);
  const auto embedded = stage(Stage::embed, "op=embed w=f32", own(table, rows));
  for (Eigen::Index s = 0; s < embedded.value.rows(); ++s)
    EXPECT_EQ(embedded.value.row(s), rows.row(call_.tokens[static_cast<size_t>(s)]));
  const Matrix g = view_of(gain);
  const std::string norm = "op=rmsnorm chain=256 sqrt=1";
  Matrix y = x_;
  for (Eigen::Index s = 0; s < y.rows(); ++s) {
    const double rms =
        std::sqrt(y.row(s).squaredNorm() / static_cast<double>(y.cols()) + model_->config().norm_eps);
    y.row(s) = y.row(s).cwiseProduct(g.row(0)) / rms;
  }
  EXPECT_TRUE(inside(in_f32(y), stage(Stage::attn_norm, norm, own(gain, g))));
  EXPECT_FALSE(inside(in_f32(y), stage(Stage::attn_norm, norm, {})));
}

TEST_F(OwnWeight, AHypothesisVariesIt) {
  const Matrix view = view_of(q_);
  Matrix columns(view.rows(), view.cols());
  for (Eigen::Index n = 0; n < view.rows(); ++n)
    for (Eigen::Index k = 0; k < view.cols(); ++k) columns(n, k) = view.data()[k * view.rows() + n];
  const Matrix y = in_f32(x_ * columns.transpose());
  const auto contract = Contract::parse(f32_);
  const auto suppose = [&](std::string_view cause, Message* why) {
    const Causes causes = {&find_cause(cause)};
    return reference::suppose({*model_, Stage::q, 1, call_, contract, fetch_, y, own(q_, view)}, causes, why);
  };
  const auto by_column = suppose("weight_layout=col", nullptr);
  ASSERT_TRUE(by_column);
  EXPECT_TRUE(inside(y, *by_column));
  const auto other_layer = suppose("weight_layer=previous", nullptr);  // the file's, as its view is right
  ASSERT_TRUE(other_layer);
  EXPECT_FALSE(inside(y, *other_layer));
  Message why;
  EXPECT_FALSE(suppose("q4_k_scales=linear", &why)) << "its bytes are not what is multiplied";
  EXPECT_THAT(why.text(), HasSubstr("as the engine holds it"));
}

TEST_F(OwnWeight, OneOfAnotherSizeIsRefused) {
  const Matrix small = normal(3, 5);
  EXPECT_THROW(stage(Stage::q, f32_, own(q_, small)), Error);
}

}  // namespace
}  // namespace greta::reference
