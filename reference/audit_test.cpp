#include "reference/audit.hpp"

#include <gtest/gtest.h>

#include <random>

#include "datasets/test_seed.hpp"
#include "reference/float_llama.hpp"
#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

TEST(Audit, Float64IsFarInsideTheBoundsAndAFloat32SlipIsSeen) {
  std::mt19937_64 random(test_seed());
  double worst = 0;
  for (const bool half : {false, true}) {
    const TestModel model({.preset = "tiny", .quant = "q4_k_m", .seed = random(), .rope_factors = half});
    FloatLlama engine(*model, summations()[5], half);
    for (const Call& call :
         std::vector<Call>{{.tokens = {5, 9, 17, 3, 80, 41}, .start = 0}, {.tokens = {7}, .start = 6}}) {
      engine.forward(call);
      for (const auto& row : stages()) {
        const int layer = row.per_layer ? 1 : -1;
        const auto contract = engine.contract(row.stage);
        const auto fetch = engine.fetch();
        const double ratio = audit(*model, row.stage, layer, call, contract, fetch, 60, random());
        EXPECT_LT(ratio, 1e-6) << row.name;
        worst = std::max(worst, ratio);
        if (row.stage == Stage::k_cache || row.stage == Stage::v_cache || row.stage == Stage::attn_out ||
            row.stage == Stage::embed)
          continue;  // exact in f32 already
        const Request request{*model, row.stage, layer, call, contract, fetch};
        auto bounded = local(*model, row.stage, layer, call, contract, fetch);
        const Matrix slipped = bounded.value.cast<float>().cast<double>();
        EXPECT_GT(audit_values(request, slipped, bounded.expected, 60, random()), 1e-3) << row.name;
      }
    }
  }
  RecordProperty("worst", std::to_string(worst * 1e9) + "e-9");
}

}  // namespace
}  // namespace greta::reference
