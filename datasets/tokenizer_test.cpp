#include "datasets/tokenizer.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "datasets/bpe_vocabulary.hpp"
#include "datasets/error.hpp"
#include "datasets/gguf_writer.hpp"

namespace greta {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class FromGguf : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path); }

  template <typename Fill>
  std::unique_ptr<Tokenizer> tokenizer_of(const Fill& fill) const {
    fs::remove(path);
    GgufWriter writer(path);
    writer.set_text("general.architecture", "llama");
    fill(writer);
    writer.finish();
    return Tokenizer::from(GgufFile::open(path));
  }
  template <typename Fill>
  std::string error_of(const Fill& fill) const {
    try {
      tokenizer_of(fill);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_THAT(error.what(), HasSubstr(path)) << "the file is named";
      return error.what();
    }
    return "no error";
  }
  static void numbers(GgufWriter& writer, std::string_view key, const std::vector<double>& values) {
    constexpr uint32_t kArray = 9, kF32 = 6;
    writer.set(key, GgufValue{kArray, GgufArray{kF32, values}});
  }

  const std::string path =
      (fs::temp_directory_path() / ("greta_tokenizer_" + std::to_string(getpid()) + ".gguf")).string();
};

void write_bpe(GgufWriter& writer, const BpeVocabulary& made) {
  writer.set_text("tokenizer.ggml.model", "gpt2");
  writer.set_text("tokenizer.ggml.pre", "llama-bpe");
  writer.set_texts("tokenizer.ggml.tokens", made.tokens);
  writer.set_i32s("tokenizer.ggml.token_type", made.types);
  writer.set_texts("tokenizer.ggml.merges", made.merges);
  writer.set_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(made.bos));
  writer.set_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(made.eos));
}

TEST_F(FromGguf, ByteLevelBpe) {
  const BpeVocabulary made = make_bpe_vocabulary(3001);
  const auto tokenizer = tokenizer_of([&](GgufWriter& writer) { write_bpe(writer, made); });
  EXPECT_EQ(tokenizer->size(), 3001);
  EXPECT_EQ(tokenizer->bos(), made.bos);
  EXPECT_EQ(tokenizer->eos(), made.eos);
  const std::vector<int32_t> ids = tokenizer->encode("The harbour<|eot_id|>");
  EXPECT_EQ(ids.size(), 4u) << "BOS, two words, a special token";
  EXPECT_EQ(ids.front(), made.bos);
  EXPECT_EQ(ids.back(), made.eot);
}

TEST_F(FromGguf, BosAsTheFileSays) {
  const BpeVocabulary made = make_bpe_vocabulary(300);
  const auto tokenizer = tokenizer_of([&](GgufWriter& writer) {
    write_bpe(writer, made);
    writer.set_bool("tokenizer.ggml.add_bos_token", false);
  });
  EXPECT_THAT(tokenizer->encode("!"), ElementsAre(0));
  EXPECT_EQ(tokenizer->bos(), made.bos);
}

TEST_F(FromGguf, SentencePiece) {
  const auto with_prefix = [&](std::optional<bool> prefix) {
    return tokenizer_of([&](GgufWriter& writer) {
      writer.set_text("tokenizer.ggml.model", "llama");
      writer.set_texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "▁", "a", "b", "ab"});
      writer.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 1, 1, 1, 1});
      numbers(writer, "tokenizer.ggml.scores", {0, 0, -1, -2, -3, -4});
      writer.set_u32("tokenizer.ggml.unknown_token_id", 0);
      writer.set_u32("tokenizer.ggml.bos_token_id", 1);
      if (prefix) writer.set_bool("tokenizer.ggml.add_space_prefix", *prefix);
    });
  };
  EXPECT_THAT(with_prefix(std::nullopt)->encode("abz"), ElementsAre(1, 2, 5, 0));
  EXPECT_THAT(with_prefix(false)->encode("abz"), ElementsAre(1, 5, 0));
}

TEST_F(FromGguf, MissingAndMalformedKeys) {
  const BpeVocabulary made = make_bpe_vocabulary(300);
  EXPECT_THAT(error_of([](GgufWriter&) {}), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(error_of([](GgufWriter& w) { w.set_text("tokenizer.ggml.model", "gpt2"); }),
              HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(error_of([](GgufWriter& w) { w.set_u32("tokenizer.ggml.model", 2); }),
              HasSubstr("tokenizer.ggml.model"));
  const auto tokens_of = [&](const std::string& model) {
    return [&made, model](GgufWriter& w) {
      w.set_text("tokenizer.ggml.model", model);
      w.set_texts("tokenizer.ggml.tokens", made.tokens);
    };
  };
  EXPECT_THAT(error_of(tokens_of("gpt2")), HasSubstr("tokenizer.ggml.pre"));
  EXPECT_THAT(error_of(tokens_of("llama")), HasSubstr("needs scores"));
  EXPECT_THAT(error_of(tokens_of("bert\n")), HasSubstr("unknown tokenizer model 'bert\\x0a'")) << "one line";
  EXPECT_THAT(error_of([&](GgufWriter& w) {
                tokens_of("gpt2")(w);
                w.set_text("tokenizer.ggml.pre", "llama-bpe");
                w.set_texts("tokenizer.ggml.merges", made.merges);
                w.set_u32("tokenizer.ggml.bos_token_id", 0xFFFFFFFF);
              }),
              HasSubstr("BOS token's id is"));
  EXPECT_THAT(error_of([&](GgufWriter& w) {
                tokens_of("gpt2")(w);
                w.set_text("tokenizer.ggml.pre", "llama-bpe");
                w.set_texts("tokenizer.ggml.merges", made.merges);
                numbers(w, "tokenizer.ggml.token_type", std::vector<double>(300, 1.5));
              }),
              HasSubstr("token 0 has type"));
}

}  // namespace
}  // namespace greta
