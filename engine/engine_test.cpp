#include "engine/engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>

#include "datasets/error.hpp"
#include "datasets/synthesise.hpp"
#include "engine/weights.hpp"

namespace greta::engine {
namespace {

uint64_t fresh_seed() {
  const char* fixed = std::getenv("GRETA_TEST_SEED");
  const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
  ::testing::Test::RecordProperty("seed", std::to_string(seed));
  std::fprintf(stderr, "GRETA_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("engine_test_" + std::to_string(::getpid()) + ".gguf");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  GgufFile make(SynthesisOptions options = {}) {
    options.seed = seed_;
    synthesise(options, path_.string());
    return GgufFile::open(path_.string());
  }
  std::vector<int32_t> tokens(int count, int32_t vocabulary) {
    std::mt19937_64 random(seed_);
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (auto& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary));
    return ids;
  }

  uint64_t seed_ = fresh_seed();
  std::filesystem::path path_;
};

using Captured = std::map<std::pair<int, std::string>, TapRecord>;

TapSink into(Captured& captured) {
  return [&captured](TapRecord&& record) {
    const std::string name = record.stage ? std::string(name_of(*record.stage)) : record.weight;
    captured[{record.layer, name}] = std::move(record);
  };
}

constexpr auto kNoSink = [](TapRecord&&) { FAIL() << "a tap nobody asked for"; };

bool bitwise_equal(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST_F(EngineTest, TapsEveryStageWithShapePositionsKernelAndContract) {
  const GgufFile file = make();
  const int vocabulary = static_cast<int>(file.tensor("token_embd.weight").rows());
  Engine engine(file, {});
  Captured captured;
  engine.forward(tokens(5, vocabulary), LogitRows::all, Taps::all(), into(captured));
  captured.clear();
  engine.forward(tokens(2, vocabulary), LogitRows::all, Taps::all(), into(captured));

  const int layers = static_cast<int>(file.u32("llama.block_count"));
  int expected = 0;
  for (const StageInfo& stage : stages()) {
    for (int layer = 0; layer < (stage.per_layer ? layers : 1); ++layer) {
      ++expected;
      const auto found = captured.find({stage.per_layer ? layer : -1, std::string(stage.name)});
      ASSERT_NE(found, captured.end()) << stage.name << " of layer " << layer;
      const TapRecord& record = found->second;
      const bool over_cache = stage.axes.front() == 'T';
      EXPECT_EQ(record.tensor->shape()[0], over_cache ? 7 : 2) << stage.name;
      EXPECT_EQ(record.positions,
                over_cache ? std::vector<int32_t>({0, 1, 2, 3, 4, 5, 6}) : std::vector<int32_t>({5, 6}));
      EXPECT_FALSE(record.kernel.empty()) << stage.name;
      EXPECT_THAT(record.contract, ::testing::StartsWith("op=")) << stage.name;
      for (const float value : record.tensor->f32()) ASSERT_FALSE(std::isnan(value)) << stage.name;
    }
  }
  EXPECT_EQ(static_cast<int>(captured.size()), expected);
}

TEST_F(EngineTest, TapsDoNotChangeTheRun) {
  const GgufFile file = make({.quant = "q4_k_m"});
  const auto ids = tokens(11, static_cast<int32_t>(file.tensor("token_embd.weight").rows()));
  Engine engine(file, {});
  Captured captured;
  const auto with = engine.forward(ids, LogitRows::all, Taps::all(), into(captured));
  engine.reset();
  const auto without = engine.forward(ids, LogitRows::all, Taps::none(), kNoSink);
  EXPECT_TRUE(bitwise_equal(with.last_logits, without.last_logits));
  EXPECT_EQ(with.top1, without.top1);
}

TEST_F(EngineTest, LaneOrderAndThreadsDoNotChangeTheRun) {
  const GgufFile file = make();
  const auto ids = tokens(9, static_cast<int32_t>(file.tensor("token_embd.weight").rows()));
  std::vector<std::vector<float>> runs;
  for (const Settings& settings : {Settings{.threads = 1}, Settings{.threads = 2, .order_seed = seed_ + 2}}) {
    Engine engine(file, settings);
    runs.push_back(engine.forward(ids, LogitRows::last, Taps::none(), kNoSink).last_logits);
  }
  EXPECT_TRUE(bitwise_equal(runs[0], runs[1]));
}

// A row's result depends on the tokens before it and on no others: bitwise, as long as the same kernels run.
TEST_F(EngineTest, PrefillAndTokenByTokenDecodeAgreeBitwiseOnOneRoute) {
  const GgufFile file = make();
  const auto ids = tokens(6, static_cast<int32_t>(file.tensor("token_embd.weight").rows()));
  Engine engine(file, {.unit = Unit::valu, .shape = Shape::gemv});
  const auto prefill = engine.forward(ids, LogitRows::last, Taps::none(), kNoSink);
  engine.reset();
  ForwardResult decode;
  for (const int32_t id : ids) decode = engine.forward({&id, 1}, LogitRows::last, Taps::none(), kNoSink);
  EXPECT_EQ(prefill.top1, decode.top1);
  for (size_t i = 0; i < prefill.last_logits.size(); ++i)
    ASSERT_NEAR(prefill.last_logits[i], decode.last_logits[i],
                1e-3 * (1 + std::fabs(prefill.last_logits[i])));
}

TEST_F(EngineTest, RoutesAreForcedAndAttested) {
  const GgufFile file = make({.quant = "f16"});
  const auto ids = tokens(9, static_cast<int32_t>(file.tensor("token_embd.weight").rows()));
  std::map<std::string, std::string> kernels;
  for (const char* unit : {"valu", "mfma"})
    for (const char* shape : {"gemm", "gemv"}) {
      Engine engine(file, {.unit = parse_unit(unit), .shape = parse_shape(shape)});
      Captured captured;
      engine.forward(ids, LogitRows::last, Taps::all(), into(captured));
      const std::string kernel = captured.at({0, "q"}).kernel;
      EXPECT_THAT(kernel, ::testing::AllOf(::testing::HasSubstr(unit), ::testing::HasSubstr(shape)));
      kernels[kernel] = unit;
    }
  EXPECT_EQ(kernels.size(), 4u) << "four routes are four kernels";
}

TEST_F(EngineTest, TapsTheWeights) {
  const GgufFile file = make();
  Engine engine(file, {});
  Captured captured;
  engine.tap_weights(into(captured));
  const auto& tapped = captured.at({-1, "blk.1.attn_k.weight"});
  const auto values = tapped.tensor->f32();
  const auto& stored = file.tensor("blk.1.attn_k.weight");  // f32 in the file: the view must be the bytes
  ASSERT_EQ(values.size_bytes(), stored.data.size());
  EXPECT_EQ(std::memcmp(values.data(), stored.data.data(), stored.data.size()), 0);
}

TEST_F(EngineTest, RefusesWhatItCannotRun) {
  const GgufFile file = make({.context = 16});
  const auto vocabulary = static_cast<int32_t>(file.tensor("token_embd.weight").rows());
  Engine engine(file, {});
  const auto run = [&](std::vector<int32_t> ids) {
    engine.forward(ids, LogitRows::last, Taps::none(), kNoSink);
  };
  EXPECT_THROW(run({}), Error);
  EXPECT_THROW(run({vocabulary}), Error);
  EXPECT_THROW(run({-1}), Error);
  EXPECT_THROW(run(tokens(17, vocabulary)), Error);
  EXPECT_EQ(engine.position(), 0);
  run(tokens(16, vocabulary));
  EXPECT_EQ(engine.position(), 16);
  EXPECT_THROW(run({0}), Error);
  EXPECT_THROW(parse_unit("mfam"), Error);
  EXPECT_THROW(Engine(file, {.wave = 48}), Error);
  EXPECT_THROW(Engine(file, {.matrix_unit = "hoper"}), Error);
}

// The setting reaches the products of the mfma routes, their contract and nothing else.
TEST_F(EngineTest, MultipliesByTheMatrixUnitThatItIsSetTo) {
  const GgufFile file = make();
  const int vocabulary = static_cast<int>(file.tensor("token_embd.weight").rows());
  std::map<std::string, Captured> of_unit;
  for (const char* const unit : {"ieee", "hopper", "cdna2", "cdna3"}) {
    Engine engine(file, {.unit = Unit::mfma, .wave = 32, .matrix_unit = unit});
    engine.forward(tokens(20, vocabulary), LogitRows::last, Taps::all(), into(of_unit[unit]));
    const TapRecord& q = of_unit[unit].at({0, "q"});
    EXPECT_TRUE(q.contract.ends_with(std::string(" unit=") + unit)) << q.contract;
    EXPECT_EQ(engine.device().find("matrix unit") != std::string::npos, unit != std::string("ieee"));
    const TapRecord &norm = of_unit[unit].at({0, "attn_norm"}), &first = of_unit["ieee"].at({0, "attn_norm"});
    EXPECT_TRUE(bitwise_equal(norm.tensor->f32(), first.tensor->f32()));
    if (unit != std::string("ieee")) {
      EXPECT_FALSE(bitwise_equal(q.tensor->f32(), of_unit["ieee"].at({0, "q"}).tensor->f32())) << unit;
    }
  }
}

TEST_F(EngineTest, WhatASinkThrowsArrives) {
  const GgufFile file = make();
  Engine engine(file, {});
  const std::vector<int32_t> ids = {1, 2};
  int delivered = 0;
  const TapSink sink = [&](TapRecord&&) {
    if (++delivered == 3) fail_input("disk full");
  };
  EXPECT_THROW(engine.forward(ids, LogitRows::last, Taps::all(), sink), Error);
  EXPECT_EQ(delivered, 3) << "nothing is delivered after a failure";
}

TEST(WeightsFinite, SeesANanInEveryFloatFieldOfABlock) {
  const std::vector<std::pair<GgmlType, std::vector<size_t>>> fields = {
      {GgmlType::Q4_K, {0, 2}}, {GgmlType::Q5_K, {0, 2}}, {GgmlType::Q6_K, {208}}, {GgmlType::Q8_0, {0}},
      {GgmlType::Q4_0, {0}},    {GgmlType::F16, {0}},     {GgmlType::BF16, {0}},   {GgmlType::F32, {2}}};
  for (const auto& [type, offsets] : fields) {
    const auto bytes = static_cast<size_t>(info(type).block_bytes);
    for (const size_t offset : offsets) {
      std::vector<std::byte> blocks(3 * bytes);
      GgufTensor tensor{.name = "w",
                        .type = type,
                        .ne = {static_cast<uint64_t>(3 * info(type).block_values)},
                        .data = blocks};
      EXPECT_TRUE(all_finite(tensor));
      blocks[2 * bytes + offset] = std::byte{0xFF};
      blocks[2 * bytes + offset + 1] = std::byte{0xFF};
      EXPECT_FALSE(all_finite(tensor)) << info(type).name << " at byte " << offset;
    }
  }
}

}  // namespace
}  // namespace greta::engine
