// The ways of one forward pass: fused or not, over caches of every type, with taps of every selection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>

#include "datasets/error.hpp"
#include "datasets/synthesise.hpp"
#include "engine/engine.hpp"

namespace greta::engine {
namespace {

uint64_t fresh_seed() {
  const char* fixed = std::getenv("GRETA_TEST_SEED");
  const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
  std::fprintf(stderr, "GRETA_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

using Captured = std::map<std::pair<int, Stage>, TapRecord>;

struct Calls {
  std::vector<ForwardResult> results;  // prefill, decode0, decode1
  std::vector<Captured> taps;          // of each
};

class ForwardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("forward_test_" + std::to_string(getpid()) + ".gguf");
    synthesise({.preset = "tiny", .quant = "q4_k_m", .seed = seed_}, path_.string());
    file_ = GgufFile::open(path_.string());
    std::mt19937_64 random(seed_);
    const auto vocabulary = static_cast<uint64_t>(file_->tensor("token_embd.weight").rows());
    for (int i = 0; i < 13; ++i) tokens_.push_back(static_cast<int32_t>(random() % vocabulary));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Calls run(const Settings& settings, const Taps& taps, LogitRows rows = LogitRows::all) const {
    Engine engine(*file_, settings);
    Calls out;
    const auto call = [&](std::span<const int32_t> tokens) {
      Captured captured;
      out.results.push_back(engine.forward(tokens, rows, taps, [&](TapRecord&& record) {
        captured[{record.layer, *record.stage}] = std::move(record);
      }));
      out.taps.push_back(std::move(captured));
    };
    const std::span<const int32_t> all = tokens_;
    call(all.first(tokens_.size() - 2));
    call(all.subspan(tokens_.size() - 2, 1));
    call(all.subspan(tokens_.size() - 1, 1));
    return out;
  }

  std::string refusal(const Settings& settings) const {
    try {
      Engine engine(*file_, settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
      return error.what();
    }
    return "";
  }

  uint64_t seed_ = fresh_seed();
  std::filesystem::path path_;
  std::optional<GgufFile> file_;
  std::vector<int32_t> tokens_;
};

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

void expect_same_logits(const Calls& a, const Calls& b, const std::string& what) {
  ASSERT_EQ(a.results.size(), b.results.size());
  for (size_t i = 0; i < a.results.size(); ++i) {
    EXPECT_TRUE(same_bits(a.results[i].last_logits, b.results[i].last_logits)) << what << ", call " << i;
    EXPECT_EQ(a.results[i].top1, b.results[i].top1) << what << ", call " << i;
  }
}

std::vector<Settings> ways() {
  std::vector<Settings> out;
  for (const Toggle fusion : {Toggle::off, Toggle::on})
    for (const Attention attention : {Attention::unfused, Attention::fused})
      for (const DType kv : {DType::f32, DType::f16, DType::bf16}) {
        Settings settings;
        settings.threads = 1;
        settings.fusion = fusion;
        settings.attention = attention;
        settings.kv = kv;
        out.push_back(settings);
      }
  return out;
}

std::string text_of(const Settings& s) {
  return std::string(s.fusion == Toggle::on ? "fused kernels" : "single kernels") +
         (s.attention == Attention::fused ? ", fused attention, " : ", unfused attention, ") +
         std::string(name_of(s.kv)) + " cache";
}

TEST_F(ForwardTest, TapsChangeNoBitInAnyWay) {
  std::mt19937_64 random(seed_);
  for (const Settings& settings : ways()) {
    const Calls none = run(settings, Taps::none());
    expect_same_logits(run(settings, Taps::all()), none, text_of(settings));
    Taps some;
    for (int stage = 0; stage < kStageCount; ++stage) some.stages.set(stage, random() % 2 == 0);
    some.layers = {1};
    const Calls selected = run(settings, some);
    expect_same_logits(selected, none, text_of(settings) + ", taps " + some.stages.to_string());
  }
}

// A tap holds the same whatever else is tapped: nothing overwrites it on its way.
TEST_F(ForwardTest, EveryTapIsWhatItIsWhenTappedAlone) {
  for (const Settings& settings : ways()) {
    if (settings.kv == DType::bf16) continue;
    const Calls all = run(settings, Taps::all());
    for (const StageInfo& row : stages()) {
      Taps alone;
      alone.stages.set(static_cast<size_t>(row.stage));
      const Calls one = run(settings, alone);
      for (size_t call = 0; call < all.taps.size(); ++call)
        for (const auto& [place, record] : one.taps[call]) {
          const auto& other = all.taps[call].at(place);
          EXPECT_EQ(record.kernel, other.kernel);
          ASSERT_EQ(record.tensor->bytes(), other.tensor->bytes());
          EXPECT_EQ(std::memcmp(record.tensor->data(), other.tensor->data(), other.tensor->bytes()), 0)
              << text_of(settings) << ": " << row.name << ", call " << call;
        }
    }
  }
}

TEST_F(ForwardTest, EveryStageIsTappedButThoseThatFusedAttentionDoesNotHave) {
  const int layers = static_cast<int>(file_->u32("llama.block_count"));
  for (const Settings& settings : ways()) {
    const Calls all = run(settings, Taps::all());
    for (size_t call = 0; call < all.taps.size(); ++call) {
      size_t expected = 0;
      for (const StageInfo& row : stages()) {
        const bool inside = row.stage == Stage::qk || row.stage == Stage::softmax || row.stage == Stage::pv;
        if (inside && settings.attention == Attention::fused) continue;
        for (int layer = 0; layer < (row.per_layer ? layers : 1); ++layer, ++expected) {
          const auto found = all.taps[call].find({row.per_layer ? layer : -1, row.stage});
          ASSERT_NE(found, all.taps[call].end()) << text_of(settings) << ": " << row.name;
          const bool cache = row.stage == Stage::k_cache || row.stage == Stage::v_cache;
          EXPECT_EQ(found->second.tensor->dtype(), cache ? settings.kv : DType::f32) << row.name;
          for (const double value : found->second.tensor->to_f64())
            ASSERT_FALSE(std::isnan(value)) << text_of(settings) << ": " << row.name << ", call " << call;
        }
      }
      EXPECT_EQ(all.taps[call].size(), expected);
    }
  }
}

// Rounding to nearest even of what the projection and RoPE gave; all the rest of the pass reads that.
TEST_F(ForwardTest, ACacheHoldsTheRoundedRows) {
  for (const auto& [kv, round] :
       {std::pair{DType::f16, +[](float x) { return f16_to_f32(f32_to_f16(x)); }},
        std::pair{DType::bf16, +[](float x) { return bf16_to_f32(f32_to_bf16(x)); }}})
    for (const Toggle fusion : {Toggle::off, Toggle::on}) {
      Settings settings;
      settings.kv = kv;
      settings.fusion = fusion;
      const Calls all = run(settings, Taps::all());
      for (const auto& [rows, cache] : {std::pair{Stage::k_rope, Stage::k_cache}, {Stage::v, Stage::v_cache}})
        for (size_t call = 0; call < all.taps.size(); ++call) {
          const auto written = all.taps[call].at({0, rows}).tensor->f32();
          const auto held = all.taps[call].at({0, cache}).tensor->to_f64();
          ASSERT_GE(held.size(), written.size());
          const size_t first = held.size() - written.size();
          for (size_t i = 0; i < written.size(); ++i)
            ASSERT_EQ(held[first + i], static_cast<double>(round(written[i]))) << name_of(kv) << " " << i;
        }
    }
}

TEST_F(ForwardTest, WaysAreAttested) {
  std::map<std::string, Calls> runs;
  for (const Settings& settings : ways()) runs.emplace(text_of(settings), run(settings, Taps::all()));
  const auto kernel = [&](const char* way, Stage stage) {
    return runs.at(way).taps[1].at({0, stage}).kernel;
  };
  EXPECT_NE(kernel("single kernels, unfused attention, f32 cache", Stage::q),
            kernel("fused kernels, unfused attention, f32 cache", Stage::q));
  EXPECT_NE(kernel("single kernels, unfused attention, f32 cache", Stage::attn_out),
            kernel("single kernels, fused attention, f32 cache", Stage::attn_out));
  EXPECT_NE(kernel("single kernels, unfused attention, f32 cache", Stage::k_cache),
            kernel("single kernels, unfused attention, f16 cache", Stage::k_cache));
  EXPECT_NE(kernel("fused kernels, fused attention, f16 cache", Stage::k_cache),
            kernel("fused kernels, fused attention, bf16 cache", Stage::k_cache));
  EXPECT_EQ(runs.begin()->second.results[1].launched, "launches");
}

// Decode attention goes through the matrix unit where the cache holds the unit's operands, and nowhere else.
TEST_F(ForwardTest, DecodeAttentionTakesTheMatrixUnitWhereTheCacheHoldsItsOperands) {
  struct Way {
    DType kv;
    Operand operand;
    Unit unit;
    bool through_unit;
  };
  constexpr Way kWays[] = {{DType::f16, Operand::f16, Unit::automatic, true},
                           {DType::bf16, Operand::bf16, Unit::automatic, true},
                           {DType::f16, Operand::bf16, Unit::automatic, false},
                           {DType::bf16, Operand::f16, Unit::automatic, false},
                           {DType::f32, Operand::f16, Unit::automatic, false},
                           {DType::f16, Operand::f16, Unit::valu, false}};
  for (const Way& way : kWays) {
    for (const Toggle fusion : {Toggle::off, Toggle::on}) {
      Settings settings;
      settings.attention = Attention::fused;
      settings.fusion = fusion;
      settings.kv = way.kv, settings.operand = way.operand, settings.unit = way.unit;
      const auto attended = run(settings, Taps::all()).taps[1].at({0, Stage::attn_out});
      EXPECT_EQ(attended.kernel.find("attention_decode_unit<") != std::string::npos, way.through_unit)
          << attended.kernel << ", " << text_of(settings);
      EXPECT_EQ(attended.contract.find(" p=f32 ") == std::string::npos, way.through_unit)
          << attended.contract;
    }
  }
}

// One operation in other kernels: as close as two orders of summation.
TEST_F(ForwardTest, FusedAndSingleKernelsAgree) {
  for (const Attention attention : {Attention::unfused, Attention::fused}) {
    Settings single, fused;
    single.attention = fused.attention = attention;
    single.fusion = Toggle::off;
    fused.fusion = Toggle::on;
    const Calls a = run(single, Taps::none()), b = run(fused, Taps::none());
    for (size_t call = 0; call < 3; ++call) {
      double worst = 0, largest = 0;
      for (size_t i = 0; i < a.results[call].last_logits.size(); ++i) {
        worst = std::max<double>(worst,
                                 std::fabs(a.results[call].last_logits[i] - b.results[call].last_logits[i]));
        largest = std::max<double>(largest, std::fabs(a.results[call].last_logits[i]));
      }
      EXPECT_LT(worst, 1e-4 * largest) << "call " << call;
    }
  }
}

TEST_F(ForwardTest, WithoutLogitsTheTopOneIsTheSame) {
  Settings settings;
  settings.attention = Attention::fused;
  settings.fusion = Toggle::on;
  const Calls with = run(settings, Taps::none(), LogitRows::last),
              without = run(settings, Taps::none(), LogitRows::none);
  for (size_t call = 0; call < 3; ++call) {
    EXPECT_TRUE(without.results[call].last_logits.empty());
    EXPECT_EQ(with.results[call].top1, without.results[call].top1);
    EXPECT_GT(with.results[call].engine_seconds, 0);
  }
}

TEST_F(ForwardTest, RefusesWhatExcludesEachOtherOrTheMachine) {
  using ::testing::HasSubstr;
  Settings graph;
  graph.graph = Toggle::on;
  EXPECT_THAT(refusal(graph), HasSubstr("graph=on: the host machine"));
  Settings fault;
  fault.fusion = Toggle::on;
  fault.faults = {"q.weight_layout=col"};
  EXPECT_THAT(refusal(fault), HasSubstr("fusion=on: a fault (q.weight_layout=col)"));
  Settings route;
  route.fusion = Toggle::on;
  route.unit = Unit::mfma;
  EXPECT_THAT(refusal(route), HasSubstr("unit=valu shape=gemv"));
  Settings automatic = fault;
  automatic.fusion = Toggle::automatic;
  EXPECT_EQ(refusal(automatic), "");
}

// Inside fused attention a fault strikes all the same, and is attested as if it had not.
TEST_F(ForwardTest, AFaultOfAttentionStrikesFusedAttentionToo) {
  Settings clean;
  clean.attention = Attention::fused;
  const Calls right = run(clean, Taps::all());
  for (const char* fault : {"qk.qk_scale=left_out", "qk.mask=left_out", "pv.kv_head=modulo"}) {
    Settings planted = clean;
    planted.faults = {fault};
    Calls wrong;
    ASSERT_NO_THROW(wrong = run(planted, Taps::all())) << fault;
    const auto &a = right.taps[0].at({0, Stage::attn_out}), &b = wrong.taps[0].at({0, Stage::attn_out});
    EXPECT_EQ(a.kernel, b.kernel);
    EXPECT_FALSE(same_bits(a.tensor->f32(), b.tensor->f32())) << fault;
    EXPECT_TRUE(same_bits(right.taps[0].at({0, Stage::q_rope}).tensor->f32(),
                          wrong.taps[0].at({0, Stage::q_rope}).tensor->f32()));
  }
}

}  // namespace
}  // namespace greta::engine
