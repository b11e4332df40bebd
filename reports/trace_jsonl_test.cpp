#include "reports/trace_jsonl.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "datasets/error.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::json;

class TraceJsonl : public testing::Test {
 protected:
  TraceJsonl() : path_(testing::TempDir() + "greta_jsonl_" + std::to_string(getpid()) + ".h5") {
    TraceWriter writer(path_,
                       {.greta_version = "0.1.0", .model_digest = "00ff", .created = "2026-11-21T08:00:00Z"});
    writer.set_prompt_tokens("p0", std::vector<int32_t>{7, 8, 9});
    std::vector<float> rows(300);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i) * 0.1F - 7;
    writer.submit({{"p0", "auto", "prefill", 3, "attn_residual"},
                   tensor({3, 100}, rows),
                   "S,D",
                   {0, 1, 2},
                   "",
                   "add<1>",
                   "op=add"});
    writer.submit({{"p0", "auto", "decode1", -1, "embed"},
                   tensor({1, 2}, {0, -0.5F}),
                   "S,D",
                   {3},
                   "",
                   "embed",
                   "op=embed"});
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    writer.submit({{"p0", "auto", "prefill", 0, "qk"},
                   tensor({1, 4}, {nan, -inf, 2, -4}),
                   "S,H,T",
                   {2},
                   "dims 0-3",
                   "qk",
                   "op=qk"});
    auto half = std::make_shared<Tensor>(DType::f16, std::vector<int64_t>{2});
    reinterpret_cast<uint16_t*>(half->data())[0] = f32_to_f16(1.5F);
    reinterpret_cast<uint16_t*>(half->data())[1] = f32_to_f16(-2);
    writer.submit(
        {{"weights", "", "", -1, "blk.0.attn_q.weight"}, half, "rows,in", {}, "", "dequant", "op=dequant"});
    writer.close();
    TraceReader reader(path_);
    trace_jsonl(reader, [&](std::string_view line) {
      EXPECT_EQ(line.back(), '\n');
      lines_.push_back(Json::parse(line));
    });
  }
  ~TraceJsonl() override { std::filesystem::remove(path_); }

  static TensorPtr tensor(std::vector<int64_t> shape, const std::vector<float>& values) {
    return std::make_shared<const Tensor>(Tensor::from_f32(std::move(shape), values));
  }
  Json line(const std::string& point) const {
    for (const auto& json : lines_)
      if (json.value("point", "") == point) return json;
    ADD_FAILURE() << "no line of " << point;
    return {};
  }

  std::string path_;
  std::vector<Json> lines_;
};

// The expected value is of Python's integers: (h ^ word) * prime % 2**64, word by word.
TEST(SampleHash, IsTheOriginals) {
  EXPECT_EQ(sample_hash({}), 1469598103934665603ULL);
  const std::vector<float> values = {0.0F, 1.0F, -2.5F};
  EXPECT_EQ(sample_hash(values), 14502667041048253057ULL);
  std::vector<float> many(300, 1.0F);
  const uint64_t hash = sample_hash(many);
  many[256] = 2;
  EXPECT_EQ(sample_hash(many), hash) << "only the first 256 count";
  many[255] = 2;
  EXPECT_NE(sample_hash(many), hash);
}

TEST_F(TraceJsonl, TheFirstLineIsTheSchema) {
  ASSERT_EQ(lines_.size(), 5u);
  EXPECT_EQ(lines_[0]["event"], "schema");
  EXPECT_EQ(lines_[0]["schema"], "greta/trace-jsonl");
  EXPECT_EQ(lines_[0]["schema_version"], kTraceJsonlSchema);
  EXPECT_EQ(lines_[0]["model_digest"], "00ff");
  EXPECT_EQ(lines_[0]["prompt_tokens"]["p0"], (std::vector<int>{7, 8, 9}));
  EXPECT_TRUE(lines_[0]["complete"]);
}

TEST_F(TraceJsonl, ALineIsAStageTraceOfTheOriginals) {
  const Json json = line("x_after_attn");
  for (const char* key :
       {"event", "phase", "point", "layer", "step", "pos_id", "seq_len", "token_id", "sample_n", "hash",
        "min", "max", "mean", "abs_sum", "nz_count", "sample", "window"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["event"], "stage_trace");
  EXPECT_EQ(json["layer"], 3);
  EXPECT_EQ(json["step"], 0);
  EXPECT_EQ(json["pos_id"], 2);
  EXPECT_EQ(json["seq_len"], 3);
  EXPECT_EQ(json["token_id"], 9) << "of the last row";
  EXPECT_EQ(json["sample_n"], 256);
  EXPECT_EQ(json["count"], 300);
  EXPECT_EQ(json["window"], "first 256 of 300");
  EXPECT_EQ(json["nz_count"], 299) << "70 * 0.1 - 7 is 0 in f32";
  EXPECT_FLOAT_EQ(json["min"], -7);
  EXPECT_FLOAT_EQ(json["max"], 22.9F);
  EXPECT_NEAR(json["mean"], 7.95, 1e-6);
  const auto sample = json["sample"].get<std::vector<float>>();
  EXPECT_EQ(json["hash"].get<uint64_t>(), sample_hash(sample)) << "a line can be checked against itself";
}

TEST_F(TraceJsonl, DecodeStepsAndWeights) {
  const Json embed = line("embed_out");
  EXPECT_EQ(embed["step"], 2);
  EXPECT_EQ(embed["pos_id"], 3);
  EXPECT_FALSE(embed.contains("token_id")) << "behind the prompt";
  EXPECT_EQ(embed["nz_count"], 1);
  const Json weight = line("weight/blk.0.attn_q.weight");
  EXPECT_EQ(weight["dtype"], "f16");
  EXPECT_EQ(weight["sample"], (std::vector<double>{1.5, -2}));
}

TEST_F(TraceJsonl, WhatIsNoNumberIsSaid) {
  const Json json = line("qk");
  EXPECT_EQ(json["sample"][0], "NaN");
  EXPECT_EQ(json["sample"][1], "-Infinity");
  EXPECT_EQ(json["nan_count"], 1);
  EXPECT_EQ(json["inf_count"], 1);
  EXPECT_EQ(json["min"], -4);
  EXPECT_EQ(json["mean"], -1);
  EXPECT_EQ(json["window"], "first 4 of 4 of dims 0-3");
}

TEST_F(TraceJsonl, AFullDiskLeavesNothing) {
  TraceReader reader(path_);
  const std::string out = path_ + ".jsonl";
  EXPECT_EQ(write_trace_jsonl(reader, out), 4);
  std::filesystem::remove(out);
  try {
    write_trace_jsonl(reader, "/proc/none/trace.jsonl");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid);
    EXPECT_THAT(error.what(), testing::HasSubstr("cannot write '/proc/none/trace.jsonl'"));
  }
}

}  // namespace
}  // namespace greta::reports
