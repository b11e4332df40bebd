// Weights unpacked wrongly: each cause by a second, value-by-value unpacking from its text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/test_seed.hpp"
#include "reference/hypotheses/hypothesis_scene.hpp"

namespace greta::reference {
namespace {

using One = std::array<const Cause*, 1>;

Matrix matrix_of(const GgufTensor& tensor, const std::vector<float>& values) {
  Matrix out(tensor.rows(), tensor.columns());
  std::copy(values.begin(), values.end(), out.data());
  return out;
}

// Two blocks a row and rows that are no square; planted × supposed.
void expect_told_apart(const Model& model, const GgufTensor& tensor, const Contract& contract,
                       std::map<std::string, int>& explained) {
  const auto stored = [&](const std::string& cause) {
    const Matrix y = matrix_of(tensor, wrong_weight(tensor, cause));
    if (contract.w == Rounding::f32) return y;
    return Matrix(y.unaryExpr([](double w) { return double{to_f16(static_cast<float>(w))}; }));
  };
  const Matrix right = stored("");
  ASSERT_TRUE(inside(right, local_weight(model, tensor.name, contract)));
  std::map<const Cause*, Bounded> supposed;
  for (const auto* cause : weight_hypotheses()) {
    Message why;
    auto bounded = suppose_weight(model, tensor.name, contract, One{cause}, &why);
    EXPECT_NE(bounded.has_value(), !why.empty()) << cause->text();
    if (!bounded) continue;
    EXPECT_FALSE(inside(right, *bounded)) << cause->text();
    supposed[cause] = std::move(*bounded);
  }
  for (const auto& [planted, its_own] : supposed) {
    const Matrix y = stored(planted->text());
    for (const auto& [cause, bounded] : supposed)
      EXPECT_EQ(inside(y, bounded), cause == planted) << planted->text() << ", " << cause->text();
    ++explained[planted->text()];
  }
}

TEST(WeightHypotheses, APlantedCauseFitsItsOwnAndNoOther) {
  std::mt19937_64 random(test_seed());
  std::map<std::string, int> explained;
  for (const char* quant : {"q4_k_m", "q8_0", "q4_0", "f16"}) {
    const TestModel model({.preset = "tiny",
                           .quant = quant,
                           .seed = random(),
                           .layers = 1,
                           .embedding = 512,
                           .feed_forward = 80,
                           .vocabulary = 300});
    const auto file = GgufFile::open(model.path());
    for (const auto* name :
         {"token_embd.weight", "output.weight", "blk.0.attn_v.weight", "blk.0.ffn_up.weight"}) {
      SCOPED_TRACE(quant + (" " + std::string(name)));
      for (const char* type : {"op=dequant w=f32", "op=dequant w=f16"})
        expect_told_apart(*model, file.tensor(name), Contract::parse(type), explained);
    }
  }
  for (const auto* cause : weight_hypotheses()) EXPECT_GT(explained[cause->text()], 0) << cause->text();
}

TEST(WeightHypotheses, PairsComposeAndTypesAreNamed) {
  const TestModel model({.preset = "tiny", .quant = "q4_k_m"});
  const auto file = GgufFile::open(model.path());
  const auto contract = Contract::parse("op=dequant w=f32");
  const auto& tensor = file.tensor("blk.0.ffn_gate.weight");
  const auto& swapped = find_cause("q4_k_nibbles=swapped");
  const auto& transposed = find_cause("load_layout=transposed");
  const auto swapped_values = wrong_weight(tensor, swapped.text());
  std::vector<float> both;
  for (int64_t k = 0; k < tensor.columns(); ++k)
    for (int64_t n = 0; n < tensor.rows(); ++n)
      both.push_back(swapped_values[static_cast<size_t>(n * tensor.columns() + k)]);
  const std::array<const Cause*, 2> pair = {&transposed, &swapped};
  const auto bounded = suppose_weight(*model, tensor.name, contract, pair);
  ASSERT_TRUE(bounded.has_value());
  EXPECT_TRUE(inside(matrix_of(tensor, both), *bounded));

  Message why;
  EXPECT_FALSE(suppose_weight(*model, tensor.name, contract, One{&find_cause("q6_k_offset=left_out")}, &why));
  EXPECT_EQ(why.text(), "the weight is Q4_K");
  EXPECT_FALSE(suppose_weight(*model, "output_norm.weight", contract, One{&transposed}, &why));
  EXPECT_EQ(why.text(), "the weight is a single row or column");
  EXPECT_FALSE(suppose_weight(*model, tensor.name, contract, One{&find_cause("rope=twice")}, &why));
  EXPECT_THAT(why.text(), testing::HasSubstr("does not act on a weight"));
}

}  // namespace
}  // namespace greta::reference
