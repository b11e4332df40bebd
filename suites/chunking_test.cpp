// A prompt in chunks against one call, on the real engine: bitwise where the same kernels run, within the
// noise where others do, and each seen to fail.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "datasets/error.hpp"
#include "probes/chunks.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::TapRecord;
using engine::TapSink;
using probes::Finding;
using probes::Status;
using ::testing::HasSubstr;
using ::testing::Not;

std::string suite_text(const std::string& arm, const std::string& sizes, int tokens = 37) {
  return fmt::format(
      "prompts = [\"random:{}\"]\nphases = [\"prefill\"]\n[[arm]]\nname = \"a\"\n{}[[probe]]\nuse = "
      "\"chunking\"\nsizes = \"{}\"\n",
      tokens, arm, sizes);
}

reports::RunResult run_with(const std::string& toml, const Tampering& tampering = {}) {
  const RunFolder folder({.preset = "tiny", .quant = "q4_k_m", .seed = 5, .layers = 2});
  auto result = run(parse_suite(toml, "chunks.toml"), folder.options(), tampered(tampering));
  EXPECT_EQ(result.interrupted.text(), "");
  return result;
}

const Finding& finding(const reports::RunResult& result, const std::string& stage, int layer) {
  for (const auto& one : result.findings)
    if (one.stage == stage && one.layer == layer && one.probe == "chunking") return one;
  throw std::runtime_error("no finding of " + stage);
}

std::string first_failing(const reports::RunResult& result) {
  for (const auto& one : result.findings)
    if (one.status == Status::fail) return one.stage + ": " + one.message.text();
  return {};
}

TEST(Chunking, OneRouteGivesTheSameBitsInAnyChunks) {
  // Every chunk has more than 16 rows: fewer are another tile, and so another kernel.
  for (const char* unit : {"mfma", "valu"}) {
    const auto arm = fmt::format("unit = \"{}\"\nshape = \"gemm\"\n", unit);
    const auto result = run_with(suite_text(arm, "22,33", 66));
    EXPECT_EQ(result.status, Status::pass) << first_failing(result);
    ASSERT_EQ(result.findings.size(), 20u * 2 + 3);
    for (const auto& one : result.findings) {
      EXPECT_EQ(one.metrics.bound_ratio, 0) << one.key();
      EXPECT_THAT(one.reason, Not(HasSubstr("envelope"))) << one.key();
      EXPECT_THAT(one.reason, HasSubstr("chunks of 33: bitwise")) << one.key();
    }
    // All values of the prompt, once a size, though the rows of the chunks see shorter caches.
    EXPECT_EQ(finding(result, "q", 1).metrics.count, 2 * 66 * 256);
    EXPECT_EQ(finding(result, "k_cache", 1).metrics.count, 2 * 66 * 64);
  }
}

TEST(Chunking, OtherKernelsForShortChunksAreHeldToTheNoise) {
  const auto result = run_with(suite_text("", "1,16"));
  EXPECT_EQ(result.status, Status::pass) << first_failing(result);
  EXPECT_THAT(finding(result, "attn_norm", 0).reason, HasSubstr("chunks of 1: bitwise"));
  const auto& q = finding(result, "q", 0);
  EXPECT_THAT(q.reason,
              HasSubstr("chunks of 1: the last row within the sum of both chained envelopes, as layer_00/q "
                        "ran matmul_valu_gemv"));
  EXPECT_GT(q.metrics.bound_ratio, 0) << "the arithmetic did differ";
  EXPECT_THAT(finding(result, "logits", -1).reason, HasSubstr("chunks of 1: the last row within"));
  ASSERT_EQ(q.figures.size(), 4u);
  EXPECT_EQ(q.figures[0].of, "chunks of 1");
  EXPECT_EQ(q.figures[0].text, "within the noise");
}

// What only calls behind the first do wrongly.
TEST(Chunking, AFaultInLaterChunksChangesBits) {
  const auto result =
      run_with(suite_text("unit = \"mfma\"\nshape = \"gemm\"\nfaults = "
                          "[\"q.decode.head_scale=applied\"]\n",
                          "22", 66));
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_EQ(finding(result, "attn_norm", 0).status, Status::pass);
  EXPECT_EQ(finding(result, "q", 0).status, Status::fail);
  EXPECT_THAT(finding(result, "q", 0).message.text(), HasSubstr("chunks of 22 tokens give other bits"));
}

// The last bit of one value in the third chunk.
TEST(Chunking, OneBitIsSeen) {
  const Tampering flip{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.since_reset == 2 && record.stage == Stage::wo && record.layer == 1)
      change(record, 3, [](float x) { return std::nextafter(x, 1e30f); });
    sink(std::move(record));
  }};
  const auto result = run_with(suite_text("unit = \"mfma\"\nshape = \"gemm\"\n", "22", 66), flip);
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_EQ(finding(result, "wo", 1).status, Status::fail);
  EXPECT_THAT(finding(result, "wo", 1).message.text(), HasSubstr("1 of 16896 values differ"));
  EXPECT_EQ(finding(result, "wo", 0).status, Status::pass);
  EXPECT_EQ(finding(result, "attn_residual", 1).status, Status::pass);
}

// Beyond the noise, where other kernels ran.
TEST(Chunking, MoreThanTheNoiseIsSeen) {
  const Tampering shift{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.tokens == 1 && record.stage == Stage::ffn_down && record.layer == 1)
      change(record, 7, [](float x) { return x + 0.5f; });
    sink(std::move(record));
  }};
  const auto result = run_with(suite_text("", "1"), shift);
  EXPECT_EQ(finding(result, "ffn_down", 1).status, Status::fail);
  EXPECT_THAT(finding(result, "ffn_down", 1).message.text(), HasSubstr("chunks of 1 tokens end in"));
}

TEST(Chunking, AChunkThatDoesNotComeIsInvalid) {
  const Tampering lost{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.since_reset == 1 && record.stage == Stage::pv && record.layer == 0) return;
    sink(std::move(record));
  }};
  EXPECT_EQ(run_with(suite_text("", "20"), lost).exit_code(), ExitCode::invalid);
}

TEST(Chunking, APromptThatNoChunkDividesIsInvalid) {
  const auto result = run_with(suite_text("", "16,33", 9));
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  EXPECT_THAT(finding(result, "q", 0).message.text(),
              HasSubstr("no chunk is shorter than the prompt of 9 tokens"));
  EXPECT_EQ(run_with(suite_text("", "4,33", 9)).status, Status::pass);
}

TEST(Chunking, SizesAreChecked) {
  for (const char* wrong : {"0", "a", "1,1", "", "1,", "-3", "16;33"}) {
    SCOPED_TRACE(wrong);
    EXPECT_THROW(run_with(suite_text("", wrong)), Error);
  }
}

TEST(Chunks, Names) {
  EXPECT_EQ((probes::ChunkCall{16, 3}.name()), "chunk16_3");
  const auto back = probes::parse_chunk("chunk16_3");
  ASSERT_TRUE(back);
  EXPECT_EQ(back->size, 16);
  EXPECT_EQ(back->index, 3);
  for (const char* other : {"prefill", "chunk", "chunk16", "chunk16_", "chunk_3", "chunk1x_2"})
    EXPECT_FALSE(probes::parse_chunk(other)) << other;
  const auto calls = probes::chunk_calls(37, 16);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[2].start(), 32);
  EXPECT_EQ(calls[2].rows(37), 5);
  EXPECT_TRUE(probes::chunk_calls(16, 16).empty());
}

TEST(Chunks, AChainOverMaskedPositionsIsTheSameArithmetic) {
  using probes::same_for_a_row;
  EXPECT_TRUE(same_for_a_row(Stage::pv, "op=pv x=f32 chain=25 out=f32", "op=pv x=f32 chain=248 out=f32"));
  EXPECT_FALSE(same_for_a_row(Stage::q, "op=matmul chain=25", "op=matmul chain=248"));
  EXPECT_FALSE(same_for_a_row(Stage::pv, "op=pv x=f32 chain=25", "op=pv x=f16 chain=25"));
}

// ---- selections of taps

reports::RunResult run_selections(const Tampering& tampering) {
  return run_with(
      "prompts = [\"tokens:5,9,2,7\"]\nphases = [\"prefill\", \"prefill_last\", \"decode0\"]\n[[probe]]\n"
      "use = \"tap_neutrality\"\nselections = \"some\"\n",
      tampering);
}

TEST(TapSelections, SomeTapsGiveTheSameBits) {
  const auto result = run_selections({});
  EXPECT_EQ(result.status, Status::pass) << first_failing(result);
  for (const auto& one : result.findings) {
    ASSERT_EQ(one.figures.size(), 3u) << one.key();
    EXPECT_EQ(one.figures[0].text, "no tap");
    EXPECT_THAT(one.figures[1].text, HasSubstr("layer "));
    EXPECT_THAT(one.figures[2].text, HasSubstr("stage "));
    EXPECT_EQ(one.metrics.count, 3 * 517);
  }
}

// A run that one selection alone changes: the calls after the first pass, the untapped one and a stage's.
TEST(TapSelections, ASelectionThatChangesTheRunIsNamed) {
  const Tampering changed{.result = [](const CallInfo& info, engine::ForwardResult& result) {
    if (info.tapped && info.call >= 6) result.last_logits[3] = std::nextafter(result.last_logits[3], 1e30f);
  }};
  const auto result = run_selections(changed);
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(first_failing(result), HasSubstr("taps change the run"));
  EXPECT_THAT(first_failing(result), Not(HasSubstr("with no tap")));
}

}  // namespace
}  // namespace greta::suites
