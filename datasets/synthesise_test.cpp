#include "datasets/synthesise.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"

namespace greta {
namespace {

using testing::HasSubstr;

// The model of these options; the file is gone, its mapping lives on.
GgufFile made(const SynthesisOptions& options) {
  static int count = 0;
  const auto path =
      (std::filesystem::path(testing::TempDir()) / fmt::format("synth_{}_{}.gguf", getpid(), count++))
          .string();
  synthesise(options, path);
  auto file = GgufFile::open(path);
  std::filesystem::remove(path);
  return file;
}

GgmlType type_of(const GgufFile& file, const std::string& name) { return file.tensor(name + ".weight").type; }

std::string usage_error(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "no error";
}

TEST(Synthesise, TheSameBytesEverywhereAndForEveryNumberOfThreads) {
  // Pinned: a change of generator, quantiser, vocabulary or metadata changes every synthetic model, and shows
  // here.
  const SynthesisOptions options{.preset = "tiny", .quant = "q4_k_m", .seed = 1, .threads = 1};
  const auto one = made(options).digest();
  EXPECT_EQ(one, "be330f7b079939d5");
  for (const int threads : {2, 5}) {
    auto more = options;
    more.threads = threads;
    EXPECT_EQ(made(more).digest(), one) << threads << " threads";
  }
  auto other = options;
  other.seed = 2;
  EXPECT_NE(made(other).digest(), one);
}

TEST(Synthesise, MetadataIsComplete) {
  const auto file = made({.preset = "mini", .quant = "q8_0"});
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.u32("general.file_type"), 7u);
  const std::pair<const char*, uint32_t> expected[] = {
      {"llama.block_count", 6},           {"llama.context_length", 512},
      {"llama.embedding_length", 256},    {"llama.feed_forward_length", 768},
      {"llama.attention.head_count", 8},  {"llama.attention.head_count_kv", 2},
      {"llama.attention.key_length", 32}, {"llama.rope.dimension_count", 32},
      {"llama.vocab_size", 3001}};
  for (const auto& [key, value] : expected) EXPECT_EQ(file.u32(key), value) << key;
  EXPECT_EQ(file.f32("llama.rope.freq_base"), 500000.0f);
  EXPECT_EQ(file.f32("llama.attention.layer_norm_rms_epsilon"), 1e-5f);
  EXPECT_EQ(file.texts("tokenizer.ggml.tokens").size(), 3001u);
  EXPECT_EQ(file.numbers("tokenizer.ggml.token_type").size(), 3001u);
  EXPECT_GT(file.texts("tokenizer.ggml.merges").size(), 1000u);
  EXPECT_EQ(file.texts("tokenizer.ggml.tokens").at(file.u32("tokenizer.ggml.bos_token_id")),
            "<|begin_of_text|>");
  int64_t parameters = 0;
  for (const auto& tensor : file.tensors()) parameters += tensor.rows() * tensor.columns();
  EXPECT_NEAR(static_cast<double>(parameters), 6e6, 0.2e6);
}

TEST(Synthesise, EveryQuantHasItsType) {
  const std::pair<const char*, GgmlType> quants[] = {{"f32", GgmlType::F32},   {"f16", GgmlType::F16},
                                                     {"bf16", GgmlType::BF16}, {"q8_0", GgmlType::Q8_0},
                                                     {"q4_0", GgmlType::Q4_0}, {"q4_k_m", GgmlType::Q4_K},
                                                     {"q6_k", GgmlType::Q6_K}};
  EXPECT_EQ(std::size(quants), synthesis_quants().size());
  for (const auto& [quant, type] : quants) {
    const auto file = made({.quant = quant});
    EXPECT_EQ(type_of(file, "blk.1.attn_q"), type) << quant;
    EXPECT_EQ(type_of(file, "token_embd"), type) << quant;
    EXPECT_EQ(type_of(file, "blk.0.attn_norm"), GgmlType::F32) << quant;
    EXPECT_EQ(type_of(file, "output_norm"), GgmlType::F32) << quant;
  }
}

// llama.cpp's mixture for 16 layers: more bits for 0, 1, then every third from 4 on, and from 14 on.
TEST(Synthesise, TheMixtureIsLlamaCpps) {
  const auto file = made({.preset = "tiny", .quant = "q4_k_m", .layers = 16});
  for (int layer = 0; layer < 16; ++layer) {
    const bool more = layer < 2 || layer >= 14 || layer == 4 || layer == 7 || layer == 10 || layer == 13;
    for (const char* name : {"attn_v", "ffn_down"})
      EXPECT_EQ(type_of(file, fmt::format("blk.{}.{}", layer, name)), more ? GgmlType::Q6_K : GgmlType::Q4_K)
          << name << " of layer " << layer;
    for (const char* name : {"attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"})
      EXPECT_EQ(type_of(file, fmt::format("blk.{}.{}", layer, name)), GgmlType::Q4_K);
  }
  EXPECT_EQ(type_of(file, "output"), GgmlType::Q6_K);
  EXPECT_EQ(type_of(file, "token_embd"), GgmlType::Q4_K);

  const auto tied = made({.preset = "tiny", .quant = "q4_k_m", .tied = true});
  EXPECT_EQ(tied.find("output.weight"), nullptr);
  EXPECT_EQ(type_of(tied, "token_embd"), GgmlType::Q6_K);
}

TEST(Synthesise, RowsThatAreNoWholeBlocksFallBack) {
  const auto file =
      made({.quant = "q4_k_m", .embedding = 96, .heads = 4, .kv_heads = 4, .feed_forward = 100});
  EXPECT_EQ(file.u32("llama.rope.dimension_count"), 24u);
  EXPECT_EQ(type_of(file, "blk.0.attn_q"), GgmlType::Q8_0);
  EXPECT_EQ(type_of(file, "output"), GgmlType::Q8_0);
  EXPECT_EQ(type_of(file, "blk.0.ffn_down"), GgmlType::F16) << "a row of 100";
  EXPECT_EQ(file.tensor("blk.0.ffn_down.weight").rows(), 96);
}

TEST(Synthesise, EachOverrideReachesTheFile) {
  const auto file = made({.layers = 3,
                          .embedding = 40,
                          .heads = 6,
                          .kv_heads = 3,
                          .head_dim = 10,
                          .feed_forward = 33,
                          .vocabulary = 263,
                          .context = 17,
                          .rope_base = 10000.0f,
                          .eps = 1e-6f,
                          .rope_factors = true});
  EXPECT_EQ(file.u32("llama.block_count"), 3u);
  EXPECT_EQ(file.u32("llama.context_length"), 17u);
  EXPECT_EQ(file.f32("llama.rope.freq_base"), 10000.0f);
  EXPECT_EQ(file.f32("llama.attention.layer_norm_rms_epsilon"), 1e-6f);
  const auto shape = [&](const char* name) { return file.tensor(name).ne; };
  EXPECT_THAT(shape("token_embd.weight"), testing::ElementsAre(40, 263));
  EXPECT_THAT(shape("blk.2.attn_q.weight"), testing::ElementsAre(40, 60));
  EXPECT_THAT(shape("blk.2.attn_k.weight"), testing::ElementsAre(40, 30));
  EXPECT_THAT(shape("blk.2.attn_output.weight"), testing::ElementsAre(60, 40));
  EXPECT_THAT(shape("blk.2.ffn_down.weight"), testing::ElementsAre(33, 40));
  EXPECT_THAT(shape("output_norm.weight"), testing::ElementsAre(40));
  EXPECT_THAT(shape("rope_freqs.weight"), testing::ElementsAre(5));
  float factors[5];
  std::memcpy(factors, file.tensor("rope_freqs.weight").data.data(), sizeof factors);
  EXPECT_EQ(factors[0], 1.0f);
  EXPECT_EQ(factors[4], 8.0f);
}

TEST(Synthesise, TheEightBillionShapeIsLlama3s) {
  const auto shape = resolve_shape({.preset = "llama3-8b"});
  EXPECT_EQ(shape.layers, 32);
  EXPECT_EQ(shape.embedding, 4096);
  EXPECT_EQ(shape.heads, 32);
  EXPECT_EQ(shape.kv_heads, 8);
  EXPECT_EQ(shape.head_dim, 128);
  EXPECT_EQ(shape.feed_forward, 14336);
  EXPECT_EQ(shape.vocabulary, 128256);
  EXPECT_EQ(shape.context, 8192);
  EXPECT_FALSE(shape.tied);
}

TEST(Synthesise, WrongOptionsAreNamed) {
  const auto path = (std::filesystem::path(testing::TempDir()) / "never.gguf").string();
  const auto attempt = [&](const SynthesisOptions& options) {
    return usage_error([&] { synthesise(options, path); });
  };
  EXPECT_THAT(attempt({.preset = "tyni"}), HasSubstr("unknown preset 'tyni'; did you mean 'tiny'?"));
  EXPECT_THAT(attempt({.quant = "q4_km"}), HasSubstr("unknown quant 'q4_km'; did you mean 'q4_k_m'?"));
  EXPECT_THAT(attempt({.kv_heads = 3}), HasSubstr("8 heads cannot share 3 kv_heads"));
  EXPECT_THAT(attempt({.heads = 7}), HasSubstr("give head_dim too"));
  EXPECT_THAT(attempt({.head_dim = 33}), HasSubstr("odd"));
  EXPECT_THAT(attempt({.layers = 0}), HasSubstr("layers 0"));
  EXPECT_THAT(attempt({.heads = 0}), testing::Not(HasSubstr("no error")));
  EXPECT_THAT(attempt({.vocabulary = 100}), HasSubstr("vocabulary 100"));
  EXPECT_THAT(attempt({.rope_base = 0.5f}), HasSubstr("rope_base"));
  EXPECT_THAT(attempt({.eps = -1.0f}), HasSubstr("eps"));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_THAT(usage_error([] { synthesise({}, "/no/such/folder/x.gguf"); }), HasSubstr("/no/such/folder"));
}

}  // namespace
}  // namespace greta
