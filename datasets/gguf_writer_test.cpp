#include "datasets/gguf_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "datasets/error.hpp"
#include "datasets/inspect.hpp"

namespace greta {
namespace {

using testing::HasSubstr;

std::string temporary(const std::string& name) {
  return (std::filesystem::path(testing::TempDir()) / name).string();
}

std::vector<std::byte> numbered(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

void write_sample(const std::string& path, uint32_t version, size_t piece) {
  GgufWriter writer(path, version);
  writer.set_text("general.architecture", "llama");
  writer.set_u32("llama.block_count", 3);
  writer.set_f32("llama.rope.freq_base", 500000);
  writer.set_bool("flag", true);
  writer.set_texts("tokens", {"a", "", "ccc"});
  const int32_t types[] = {1, -5};
  writer.set_i32s("types", types);
  writer.add_tensor("odd", GgmlType::F16, {5, 3});
  writer.add_tensor("packed", GgmlType::Q6_K, {256, 2});
  const auto bytes = numbered(30 + 420);
  for (size_t at = 0; at < bytes.size(); at += piece)
    writer.write(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
  writer.finish();
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  const auto path = temporary("writer.gguf");
  for (const uint32_t version : {2u, 3u}) {
    write_sample(path, version, 17);
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    const auto file = GgufFile::open(path);
    EXPECT_EQ(file.version(), version);
    EXPECT_EQ(file.u32("llama.block_count"), 3u);
    EXPECT_EQ(file.f32("llama.rope.freq_base"), 500000.0f);
    EXPECT_TRUE(file.boolean_or("flag", false));
    EXPECT_THAT(file.texts("tokens"), testing::ElementsAre("a", "", "ccc"));
    EXPECT_THAT(file.numbers("types"), testing::ElementsAre(1, -5));
    const auto bytes = numbered(450);
    const auto& odd = file.tensor("odd");
    const auto& packed = file.tensor("packed");
    EXPECT_EQ(std::memcmp(odd.data.data(), bytes.data(), 30), 0);
    EXPECT_EQ(std::memcmp(packed.data.data(), bytes.data() + 30, 420), 0);
    EXPECT_EQ(packed.rows(), 2);
  }
  std::filesystem::remove(path);
}

TEST(GgufWriter, PiecesDoNotMatter) {
  const auto one = temporary("pieces_1.gguf"), whole = temporary("pieces_all.gguf");
  write_sample(one, 3, 1);
  write_sample(whole, 3, 450);
  EXPECT_EQ(content(one), content(whole));
  std::filesystem::remove(one);
  std::filesystem::remove(whole);
}

TEST(GgufWriter, ReadMetadataCanBeWrittenAgain) {
  const auto first = temporary("again_1.gguf"), second = temporary("again_2.gguf");
  {
    GgufWriter writer(first);
    writer.set_u32("general.alignment", 64);
    writer.set("deep", {9, GgufArray{3, std::vector<int64_t>{-300, 7}}});
    writer.set("flags", {9, GgufArray{7, std::vector<bool>{true, false}}});
    writer.set("half", {6, 0.1});  // f32: the nearest float
    writer.set("last", {11, int64_t{-1}});
    writer.add_tensor("t", GgmlType::F32, {1});
    writer.write(numbered(4));
    writer.finish();
  }
  const auto file = GgufFile::open(first);
  EXPECT_EQ(file.alignment(), 64u);
  EXPECT_EQ(file.f32("half"), 0.1f);
  EXPECT_THAT(file.numbers("deep"), testing::ElementsAre(-300, 7));
  {
    GgufWriter writer(second);
    writer.set("general.alignment", file.metadata().at("general.alignment"));
    for (const auto& [key, value] : file.metadata())
      if (key != "general.alignment") writer.set(key, value);
    writer.add_tensor("t", GgmlType::F32, {1});
    writer.write(file.tensor("t").data);
    writer.finish();
  }
  EXPECT_EQ(content(second), content(first));
  std::filesystem::remove(first);
  std::filesystem::remove(second);
}

TEST(GgufWriter, AnUnfinishedFileIsRemoved) {
  const auto path = temporary("unfinished.gguf");
  {
    GgufWriter writer(path);
    writer.add_tensor("t", GgmlType::F32, {8});
    writer.write(numbered(31));
    EXPECT_THROW(writer.finish(), Error);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".part"));
}

TEST(GgufWriter, MisuseIsAnError) {
  GgufWriter writer(temporary("misuse.gguf"));
  writer.set_u32("k", 1);
  EXPECT_THROW(writer.set_u32("k", 2), Error);
  writer.add_tensor("t", GgmlType::F32, {2});
  EXPECT_THROW(writer.add_tensor("t", GgmlType::F32, {2}), Error);
  EXPECT_THROW(writer.add_tensor("u", GgmlType::Q8_0, {33}), Error);
  EXPECT_THROW(writer.write(numbered(9)), Error) << "one byte too many";
  EXPECT_THROW(writer.set_u32("late", 1), Error);
}

TEST(GgufWriter, APathThatCannotBeWritten) {
  try {
    GgufWriter writer("/no/such/folder/m.gguf");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("/no/such/folder/m.gguf"));
  }
}

TEST(GgufWriter, AFullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this machine has no /dev/full";
  const auto path = temporary("full.gguf");
  std::filesystem::remove(path + ".part");
  std::filesystem::create_symlink("/dev/full", path + ".part");  // the writer's own file
  try {
    write_sample(path, 3, 450);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.what(), HasSubstr("free some space"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Inspect, ShowsEachSection) {
  const auto path = temporary("inspect.gguf");
  write_sample(path, 3, 450);
  const auto text = inspect(GgufFile::open(path));
  std::filesystem::remove(path);
  for (const char* part :
       {"GGUF version 3, alignment 32", "llama.block_count", "u32", "string[3]", "[\"a\", \"\", \"ccc\"]",
        "layers         3", "embedding      missing", "output weight  tied", "tensors (2)", "Q6_K  [256, 2]",
        "420 bytes", "6.562 bits a value", "527 values"})
    EXPECT_THAT(text, HasSubstr(part));
}

}  // namespace
}  // namespace greta
