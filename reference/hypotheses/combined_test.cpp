// Pairs of causes, what does not go together, what changes nothing, and the factor that is fitted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"
#include "reference/hypotheses/hypothesis_scene.hpp"

namespace greta::reference {
namespace {

using Causes = std::vector<const Cause*>;

Causes causes_of(std::initializer_list<std::string_view> texts) {
  Causes found;
  for (const auto text : texts) found.push_back(&find_cause(text));
  return found;
}

class Combined : public testing::Test {
 protected:
  Combined() : random(test_seed()), scene("q4_k_m", random() % 2 == 0, random()) {}

  bool fits(Stage stage, std::initializer_list<std::string_view> texts, const Matrix& output) {
    const auto bounded = scene.suppose(causes_of(texts), stage, output);
    return bounded && inside(output, *bounded);
  }
  std::string refusal(Stage stage, std::initializer_list<std::string_view> texts) {
    Message why;
    const auto bounded = scene.suppose(causes_of(texts), stage, scene.right(stage).value, &why);
    return bounded ? "supposed" : why.text();
  }
  Matrix planted(Stage stage, std::string_view text) { return scene.wrong(find_cause(text), stage); }

  std::mt19937_64 random;
  Scene scene;
};

Matrix with_tiles_transposed(Matrix y) {
  const Matrix right = y;
  for (Eigen::Index s = 0; s < y.rows() / 16 * 16; ++s)
    for (Eigen::Index n = 0; n < y.cols() / 16 * 16; ++n)
      y(s, n) = right(s / 16 * 16 + n % 16, n / 16 * 16 + s % 16);
  return y;
}

TEST_F(Combined, TransposedTilesOfScaledHeads) {
  const Matrix scaled = planted(Stage::q, "head_scale=applied"), both = with_tiles_transposed(scaled);
  EXPECT_TRUE(fits(Stage::q, {"head_scale=applied", "tile_store=transposed"}, both));
  EXPECT_TRUE(fits(Stage::q, {"tile_store=transposed", "head_scale=applied"}, both));
  EXPECT_FALSE(fits(Stage::q, {"tile_store=transposed"}, both));
  EXPECT_FALSE(fits(Stage::q, {"head_scale=applied"}, both));
  EXPECT_FALSE(fits(Stage::q, {"head_scale=applied", "tile_store=transposed"}, scaled));
}

TEST_F(Combined, OtherWeightsStoredOtherwise) {
  Matrix y = with_tiles_transposed(planted(Stage::v, "weight_layer=next"));
  EXPECT_TRUE(fits(Stage::v, {"weight_layer=next", "tile_store=transposed"}, y));
  EXPECT_FALSE(fits(Stage::v, {"weight_layer=previous", "tile_store=transposed"}, y));
  y.bottomRows(y.rows() % 16).setConstant(std::nan(""));
  EXPECT_FALSE(fits(Stage::v, {"weight_layer=next", "tile_store=transposed"}, y));
  EXPECT_TRUE(fits(Stage::v, {"weight_layer=next", "tail=rows_left_out"}, [&] {
    Matrix plain = planted(Stage::v, "weight_layer=next");
    plain.bottomRows(plain.rows() % 16).setConstant(std::nan(""));
    return plain;
  }()));
}

TEST_F(Combined, PairsOfDimsAtPositionsOneOff) {
  // One position on is one more turn of each pair by its frequency: as if the call had begun one later.
  const auto fetch = scene.scene().engine.fetch();
  const Call later{.tokens = scene.call().tokens, .start = scene.call().start + 1};
  const FloatScene moved{scene.model(), scene.file(),        scene.scene().engine,
                         later,         scene.scene().order, scene.scene().half};
  const Matrix both = wrong_rope(moved, "rope_pairs=halves", Stage::q_rope, 1).to_f64();
  EXPECT_TRUE(fits(Stage::q_rope, {"rope_pairs=halves", "rope_position=+1"}, both));
  EXPECT_FALSE(fits(Stage::q_rope, {"rope_pairs=halves", "rope_position=-1"}, both));
  EXPECT_FALSE(fits(Stage::q_rope, {"rope_pairs=halves"}, both));
  EXPECT_FALSE(fits(Stage::q_rope, {"rope_position=+1"}, both));
}

TEST_F(Combined, EveryPairOfAStageIsSupposedOrRefusedWithAReason) {
  for (const auto& row : stages()) {
    const auto causes = hypotheses_for(row.stage);
    if (row.stage == Stage::logits || causes.size() < 2) continue;
    const Matrix right = scene.right(row.stage).value;
    for (size_t a = 0; a < causes.size(); ++a) {
      for (size_t b = 0; b < causes.size(); ++b) {
        Message why;
        const auto bounded = scene.suppose(Causes{causes[a], causes[b]}, row.stage, right, &why);
        const auto names = causes[a]->text() + " and " + causes[b]->text();
        EXPECT_NE(bounded.has_value(), !why.empty()) << names;
        if (a == b) {
          EXPECT_FALSE(bounded.has_value()) << names;
        }
        if (bounded) {
          EXPECT_FALSE(inside(right, *bounded)) << row.name << ": " << names;
        }
      }
    }
  }
}

TEST_F(Combined, WhatDoesNotGoTogether) {
  using testing::HasSubstr;
  const auto same = HasSubstr("the same thing");
  EXPECT_THAT(refusal(Stage::q_rope, {"rope=twice", "rope=left_out"}), same);
  EXPECT_THAT(refusal(Stage::q_rope, {"rope_position=+1", "rope_position=-1"}), same);
  EXPECT_THAT(refusal(Stage::q_rope, {"rope_pairs=halves", "rope=left_out"}), same);
  EXPECT_THAT(refusal(Stage::qk, {"mask=left_out", "mask=one_ahead"}), same);
  EXPECT_THAT(refusal(Stage::embed, {"embed_row=zeroed", "embed_token=next"}), same);
  EXPECT_THAT(refusal(Stage::attn_norm, {"norm_weight=left_out", "weight_layer=next"}), same);
  EXPECT_THAT(refusal(Stage::q, {"rope=twice"}), HasSubstr("does not act on stage q"));
  EXPECT_THAT(refusal(Stage::attn_norm, {"load_layout=transposed"}), HasSubstr("does not act on"));
  EXPECT_THAT(refusal(Stage::logits, {"host_copy=not_awaited"}), HasSubstr("nothing that a stage computes"));
  EXPECT_THAT(refusal(Stage::attn_norm, {"barrier=missing"}), HasSubstr("nothing that a stage computes"));
}

TEST_F(Combined, AFactorOfOneHeadCountsAndOneOfAllDoesNot) {
  Matrix y = scene.wrong(kRightCause, Stage::k);
  const auto Dh = scene.model().config().head_dim;
  EXPECT_FALSE(fits(Stage::k, {"head_scale=applied"}, y)) << "nothing is scaled";
  Matrix one = y;
  one.middleCols(Dh, Dh) *= 1.5;
  EXPECT_TRUE(fits(Stage::k, {"head_scale=applied"}, one));
  EXPECT_FALSE(fits(Stage::k, {"head_scale=applied"}, 1.5 * y)) << "all are scaled alike";
  Matrix element = y;
  element(3, Dh + 2) += 0.01;
  EXPECT_FALSE(fits(Stage::k, {"head_scale=applied"}, element)) << "one wrong element";
  Matrix unwritten = one;
  unwritten(3, 2) = std::nan("");
  EXPECT_FALSE(fits(Stage::k, {"head_scale=applied"}, unwritten));
  Matrix rotated = one;
  rotated.col(Dh).swap(rotated.col(Dh + 1));
  EXPECT_FALSE(fits(Stage::k, {"head_scale=applied"}, rotated)) << "two lanes swapped";
}

TEST_F(Combined, AMisreadWeightShowsInItsProductToo) {
  const auto type = scene.model().weight_info("blk.1.attn_q.weight").type;
  ASSERT_EQ(type, GgmlType::Q4_K);
  for (const auto* cause : weight_hypotheses()) {
    if (cause->name.starts_with("q6")) {
      EXPECT_EQ(refusal(Stage::q, {cause->text()}), "the weight is Q4_K");
      continue;
    }
    const Matrix y = planted(Stage::q, cause->text());
    if (cause->name == "block_scale") {
      EXPECT_EQ(refusal(Stage::q, {cause->text()}), "each row of the weight is one block");
      continue;
    }
    EXPECT_TRUE(fits(Stage::q, {cause->text()}, y)) << cause->text();
    EXPECT_TRUE(fits(Stage::q, {"tile_store=transposed", cause->text()}, with_tiles_transposed(y)));
    EXPECT_FALSE(fits(Stage::q, {cause->text()}, scene.wrong(kRightCause, Stage::q))) << cause->text();
  }
}

TEST_F(Combined, MissingEvidenceIsTheCallersToKnow) {
  const auto whole = scene.scene().engine.fetch();
  const Fetch fetch = [&](const OperandRef& ref) {
    if (ref.history && ref.layer == 0) throw Error(ExitCode::invalid, "layer 0 was not recorded");
    return whole(ref);
  };
  const auto contract = scene.scene().engine.contract(Stage::k_cache);
  const Matrix output = scene.right(Stage::k_cache).value;
  const Observation seen{scene.model(), Stage::k_cache, 1, scene.call(), contract, fetch, output};
  EXPECT_TRUE(suppose(seen, causes_of({"cache_row=stale"})).has_value());
  EXPECT_THROW(suppose(seen, causes_of({"layer_base=0"})), Error);
}

// A model and a call of which each hypothesis in question has nothing to vary.
TEST(Idle, WhatChangesNothingHereIsNotSupposed) {
  const TestModel model({.preset = "tiny",
                         .quant = "f32",
                         .layers = 1,
                         .heads = 2,
                         .kv_heads = 2,
                         .head_dim = 20,
                         .vocabulary = 300,
                         .rope_base = 10000,
                         .eps = 1e-6f});
  FloatLlama engine(*model, summations()[3], false);
  const Call call{.tokens = {7}, .start = 0};
  engine.forward(call);
  const auto why = [&](Stage stage, std::string_view text) {
    const int layer = info(stage).per_layer ? 0 : -1;
    const auto contract = engine.contract(stage);
    const Matrix output = engine.stage(stage, layer);
    Message reason;
    const auto bounded =
        suppose({*model, stage, layer, call, contract, engine.fetch(), output}, causes_of({text}), &reason);
    return bounded ? "supposed" : reason.text();
  };
  EXPECT_EQ(why(Stage::q_rope, "rope_base=10000"), "the model's base is 10000");
  EXPECT_EQ(why(Stage::q_rope, "rope=left_out"), "position 0 alone is not turned");
  EXPECT_EQ(why(Stage::q_rope, "rope_pairs=halves"), "position 0 alone is not turned");
  EXPECT_EQ(why(Stage::q_rope, "rope_position=+1"), "supposed");
  EXPECT_EQ(why(Stage::qk, "kv_head=modulo"), "each head has a KV head of its own");
  EXPECT_EQ(why(Stage::qk, "window=64"), "there are no more than 64 positions");
  EXPECT_EQ(why(Stage::qk, "mask=left_out"), "no position is ahead of the token");
  EXPECT_EQ(why(Stage::qk, "mask=one_behind"), "supposed");
  EXPECT_EQ(why(Stage::softmax, "softmax_max=not_subtracted"),
            "what it gives here is within the bound of what is right");
  EXPECT_EQ(why(Stage::k_cache, "layer_base=0"), "this is layer 0");
  EXPECT_EQ(why(Stage::k_cache, "cache_row=stale"), "there is one position");
  EXPECT_EQ(why(Stage::attn_norm, "norm_eps=1e-6"), "the model's eps is 1e-6");
  EXPECT_EQ(why(Stage::q, "weight_layer=next"), "the model has one layer");
  EXPECT_EQ(why(Stage::q, "tile_store=transposed"), "the call has fewer than 16 rows");
  EXPECT_EQ(why(Stage::logits, "logits_row=previous"), "the call has one row");
  EXPECT_EQ(why(Stage::q, "q4_k_min=added"), "the weight is F32");
}

}  // namespace
}  // namespace greta::reference
