#include "reference/config.hpp"

#include <gmock/gmock.h>

#include "datasets/error.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

using testing::HasSubstr;

TEST(Config, ReadsWhatWasSynthesised) {
  const TestModel model({.preset = "tiny",
                         .quant = "f16",
                         .layers = 3,
                         .embedding = 96,
                         .heads = 6,
                         .kv_heads = 2,
                         .feed_forward = 160,
                         .context = 64,
                         .rope_base = 5e5f,
                         .tied = true,
                         .rope_factors = true});
  const auto& c = model->config();
  EXPECT_EQ(c.layers, 3);
  EXPECT_EQ(c.embedding, 96);
  EXPECT_EQ(c.heads, 6);
  EXPECT_EQ(c.kv_heads, 2);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.feed_forward, 160);
  EXPECT_EQ(c.context, 64);
  EXPECT_EQ(c.rope_base, 5e5);
  EXPECT_TRUE(c.tied_output);
  EXPECT_EQ(model->output_weight(), "token_embd.weight");
  EXPECT_EQ(c.rope_factors.size(), static_cast<size_t>(c.rope_dims / 2));
  const auto frequencies = rope_frequencies(c);
  EXPECT_DOUBLE_EQ(frequencies[0] * c.rope_factors[0], 1);
  EXPECT_NEAR(frequencies[2] * c.rope_factors[2], std::pow(5e5, -4.0 / static_cast<double>(c.rope_dims)),
              1e-15);
  const auto sizes = c.sizes(5, 9);
  EXPECT_EQ(sizes.S * 100 + sizes.T, 509);
  EXPECT_EQ(sizes.V, c.vocabulary);
}

TEST(Model, RowsTilesAndTheWholeAgree) {
  const TestModel model({.preset = "tiny", .quant = "q4_k_m"});
  const std::string name = "token_embd.weight";
  const auto whole = model->weight(name);
  const auto info = model->weight_info(name);
  ASSERT_EQ(whole->rows(), info.rows);
  std::vector<double> row(static_cast<size_t>(info.columns));
  model->weight_row(name, info.rows - 1, row);
  EXPECT_EQ((*whole)(info.rows - 1, 5), row[5]);
  Matrix tiled = Matrix::Constant(info.rows, info.columns, NAN);
  model->visit_tiles(name, [&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
    tiled.middleRows(begin, tile.rows()) = tile;
  });
  EXPECT_TRUE(tiled == *whole);
  EXPECT_THROW(model->weight_row(name, info.rows, row), Error);
  EXPECT_THROW(model->weight("blk.99.attn_q.weight"), Error);
}

TEST(Machine, NamesWhatMultiplies) {
  EXPECT_THAT(instruction_sets(), HasSubstr("Eigen 3."));
  EXPECT_THAT(instruction_sets(), HasSubstr("OpenBLAS "));
}

}  // namespace
}  // namespace greta::reference
