// The reader against bytes written here by hand, so that reader and writer cannot share a mistake.
#include "datasets/gguf.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "datasets/error.hpp"
#include "datasets/gguf_names.hpp"
#include "datasets/inspect.hpp"
#include "datasets/test_seed.hpp"

namespace greta {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Bytes {
 public:
  template <typename T>
  Bytes& put(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& u32(uint32_t value) { return put(value); }
  Bytes& u64(uint64_t value) { return put(value); }
  Bytes& text(std::string_view value) {
    u64(value.size());
    out += value;
    return *this;
  }
  Bytes& raw(std::string_view value) {
    out += value;
    return *this;
  }
  Bytes& pad(size_t alignment = 32) {
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  Bytes& header(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(pairs);
  }
  Bytes& tensor(std::string_view name, std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(ne.size()));
    for (const auto axis : ne) u64(axis);
    return u32(type).u64(offset);
  }
  std::span<const std::byte> view() const { return std::as_bytes(std::span(out)); }

  std::string out;
};

GgufFile parse(const Bytes& bytes) { return GgufFile::parse(bytes.view(), "m.gguf"); }

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "no error";
}
std::string error_of(const Bytes& bytes) {
  return error_of([&] { parse(bytes); });
}

// Two tensors, three pairs: each section is there.
Bytes valid(uint32_t version = 3) {
  Bytes bytes;
  bytes.header(2, 5, version);
  bytes.text("general.name").u32(8).text("long enough that a cut in it leaves room for the counts");
  bytes.text("general.architecture").u32(8).text("llama");
  bytes.text("llama.block_count").u32(4).u32(7);
  bytes.text("tokens").u32(9).u32(8).u64(2).text("a").text("bc");
  bytes.text("scores").u32(9).u32(6).u64(2).put(0.5f).put(-2.0f);
  bytes.tensor("a.weight", {4, 2, 1, 1}, 0, 0);
  bytes.tensor("b.weight", {32}, 8, 32);
  bytes.pad();
  for (int i = 0; i < 8; ++i) bytes.put(static_cast<float>(i));
  return bytes.raw(std::string(34, 'q'));
}

TEST(Gguf, ReadsVersions2And3) {
  for (const uint32_t version : {2u, 3u}) {
    const auto bytes = valid(version);
    const auto file = parse(bytes);
    EXPECT_EQ(file.version(), version);
    EXPECT_EQ(file.alignment(), 32u);
    EXPECT_EQ(file.text("general.architecture"), "llama");
    EXPECT_EQ(file.u32("llama.block_count"), 7u);
    EXPECT_EQ(file.u32_or("absent", 5), 5u);
    EXPECT_THAT(file.texts("tokens"), testing::ElementsAre("a", "bc"));
    EXPECT_THAT(file.numbers("scores"), testing::ElementsAre(0.5, -2.0));
    const auto& tensor = file.tensor("a.weight");
    EXPECT_EQ(tensor.rows(), 2);
    float second[4];
    std::memcpy(second, tensor.row(1).data(), sizeof second);
    EXPECT_THAT(second, testing::ElementsAre(4, 5, 6, 7));
    EXPECT_EQ(file.tensor("b.weight").data.size(), 34u);
    EXPECT_EQ(file.find("c.weight"), nullptr);
    EXPECT_EQ(file.digest().size(), 16u);
  }
}

TEST(Gguf, WidensEveryValueType) {
  Bytes bytes;
  bytes.header(0, 12);
  bytes.text("u8").u32(0).put(uint8_t{200});
  bytes.text("i8").u32(1).put(int8_t{-3});
  bytes.text("u16").u32(2).put(uint16_t{60000});
  bytes.text("i16").u32(3).put(int16_t{-300});
  bytes.text("i32").u32(5).put(int32_t{9});
  bytes.text("f32").u32(6).put(1.5f);
  bytes.text("bool").u32(7).put(uint8_t{1});
  bytes.text("u64").u32(10).u64(5);
  bytes.text("big").u32(10).u64(uint64_t{1} << 40);
  bytes.text("i64").u32(11).put(int64_t{-1});
  bytes.text("f64").u32(12).put(0.1);
  bytes.text("flags").u32(9).u32(7).u64(3).raw(std::string("\1\0\1", 3));
  const auto file = parse(bytes);
  EXPECT_EQ(file.u32("u8"), 200u);
  EXPECT_EQ(std::get<int64_t>(file.metadata().at("i8").value), -3);
  EXPECT_EQ(file.u32("u16"), 60000u);
  EXPECT_EQ(file.u32("i32"), 9u);
  EXPECT_EQ(file.u32("u64"), 5u);
  EXPECT_EQ(file.f32("f32"), 1.5f);
  EXPECT_EQ(file.f32("f64"), 0.1f);
  EXPECT_TRUE(file.boolean_or("bool", false));
  EXPECT_THAT(error_of([&] { file.u32("big"); }), AllOf(HasSubstr("'big'"), HasSubstr("u64")));
  EXPECT_THAT(error_of([&] { file.u32("i64"); }), HasSubstr("'i64' is i64"));
  EXPECT_THAT(error_of([&] { file.text("f32"); }), HasSubstr("a string is needed"));
  EXPECT_THAT(error_of([&] { file.numbers("flags"); }), HasSubstr("an array of numbers"));
  EXPECT_THAT(error_of([&] { file.u32("none"); }), HasSubstr("'none' is missing"));
  EXPECT_THAT(error_of([&] { file.tensor("x.weight"); }), HasSubstr("tensor 'x.weight' is missing"));
}

TEST(Gguf, EveryTruncationIsAnErrorThatNamesItsSection) {
  const auto whole = valid();
  std::map<std::string, int> sections;
  for (size_t length = 0; length < whole.out.size(); ++length) {
    Bytes cut;
    cut.raw(std::string_view(whole.out).substr(0, length));
    const auto sentence = error_of(cut);
    ASSERT_THAT(sentence, HasSubstr("m.gguf: ")) << length << " bytes";
    for (const char* section :
         {"header", "metadata key 0", "metadata key 3", "tensor info 0", "tensor info 1", "tensor data"})
      sections[section] += sentence.find(section) != std::string::npos;
  }
  for (const auto& [section, count] : sections) EXPECT_GT(count, 0) << section;
}

TEST(Gguf, WrongHeaders) {
  EXPECT_THAT(error_of(Bytes()), HasSubstr("header: the file is empty"));
  EXPECT_THAT(error_of(Bytes().raw("PK\3\4 something longer than that")),
              HasSubstr("'PK\\x03\\x04', not 'GGUF'"));
  EXPECT_THAT(error_of(Bytes().header(0, 0, 99)), HasSubstr("version 99"));
  EXPECT_THAT(error_of(Bytes().header(0, 0, 1)), HasSubstr("version 1"));
  EXPECT_THAT(error_of(Bytes().raw("GGUF").raw(std::string("\0\0\0\3", 4)).raw(std::string(16, '\0'))),
              HasSubstr("big-endian"));
}

TEST(Gguf, CountsBeyondTheFileAllocateNothing) {
  constexpr uint64_t kHuge = uint64_t{1} << 60;
  EXPECT_THAT(error_of(Bytes().header(kHuge, 0)), HasSubstr("count of tensors is 1152921504606846976"));
  EXPECT_THAT(error_of(Bytes().header(0, ~uint64_t{0})), HasSubstr("count of metadata pairs"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(9).u32(8).u64(kHuge)),
              AllOf(HasSubstr("metadata key 0 'k'"), HasSubstr("count of array elements")));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(9).u32(7).u64(~uint64_t{0})),
              HasSubstr("array elements"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).u64(kHuge).raw("0123456789")), HasSubstr("truncated"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(8).u64(~uint64_t{0}).raw("abc")),
              HasSubstr("truncated"));
}

TEST(Gguf, WrongMetadata) {
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(13).u64(0)), HasSubstr("value type 13"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(9).u32(9).u64(1).u32(8).u64(0)),
              HasSubstr("an array holds arrays"));
  EXPECT_THAT(error_of(Bytes().header(0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1)),
              AllOf(HasSubstr("metadata key 1 'k'"), HasSubstr("twice")));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("k").u32(7).put(uint8_t{2})),
              HasSubstr("a bool is stored as 2"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("").u32(4).u32(1)), HasSubstr("0 bytes long"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text(std::string(70000, 'k')).u32(4).u32(1)), HasSubstr("70000"));
  for (const uint32_t alignment : {0u, 4u, 33u, 48u})
    EXPECT_THAT(error_of(Bytes().header(0, 1).text("general.alignment").u32(4).u32(alignment)),
                HasSubstr("power of two"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("general.alignment").u32(8).text("32")),
              HasSubstr("not u32"));
}

std::string error_of_tensor(std::string_view name, std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
  return error_of(
      Bytes().header(1, 0).tensor(name, std::move(ne), type, offset).pad().raw(std::string(1024, 'x')));
}

TEST(Gguf, WrongTensorInfos) {
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  EXPECT_EQ(error_of_tensor("t", {8}, 0, 0), "no error");
  EXPECT_THAT(error_of_tensor("t", {8}, 23, 0),
              AllOf(HasSubstr("tensor info 0 't'"), HasSubstr("type 23 (IQ4_XS)")));
  EXPECT_THAT(error_of_tensor("t", {8}, 3, 0), HasSubstr("type 3 (Q4_1)"));
  EXPECT_THAT(error_of_tensor("t", {8}, 77777, 0), HasSubstr("type 77777 (not a type of ggml)"));
  EXPECT_THAT(error_of_tensor("t", {kHalf, kHalf}, 0, 0), HasSubstr("more values than any file"));
  EXPECT_THAT(error_of_tensor("t", {uint64_t{1} << 63, 2}, 1, 0), HasSubstr("more values than any file"));
  EXPECT_THAT(error_of_tensor("t", {8, 0}, 0, 0), HasSubstr("an axis of its shape is 0"));
  EXPECT_THAT(error_of_tensor("t", {0, kHalf, kHalf, kHalf}, 0, 0), HasSubstr("an axis of its shape is 0"));
  EXPECT_THAT(error_of_tensor("t", {48}, 8, 0),
              HasSubstr("a row of 48 values is not a multiple of Q8_0's block of 32"));
  EXPECT_THAT(error_of_tensor("t", {128, 2}, 12, 0), HasSubstr("Q4_K's block of 256"));
  EXPECT_THAT(error_of_tensor("t", {1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 axes"));
  EXPECT_THAT(error_of_tensor("t", {8}, 0, 8), HasSubstr("offset 8 is not a multiple of the alignment 32"));
  EXPECT_THAT(error_of_tensor("", {8}, 0, 0), HasSubstr("the name is 0 bytes long"));
  EXPECT_THAT(error_of_tensor(std::string(65, 'n'), {8}, 0, 0), HasSubstr("the name is 65 bytes long"));
  EXPECT_THAT(error_of_tensor("t", {8}, 0, 4096),
              AllOf(HasSubstr("tensor data"), HasSubstr("'t' needs 32 bytes")));
  EXPECT_THAT(error_of_tensor("t", {257}, 0, 0),
              HasSubstr("needs 1028 bytes at offset 0, and the file has 1024"));
  EXPECT_THAT(error_of_tensor("t", {8}, 0, ~uint64_t{31}),
              HasSubstr("needs 32 bytes at offset 18446744073709551584"));
  EXPECT_THAT(error_of_tensor("t\n\xff", {8}, 23, 0), HasSubstr("'t\\x0a\\xff'"));
}

TEST(Gguf, TensorsThatOverlapOrRepeat) {
  const auto two = [](std::string_view second, uint64_t offset) {
    return error_of(Bytes()
                        .header(2, 0)
                        .tensor("a", {16}, 0, 0)
                        .tensor(second, {8}, 0, offset)
                        .pad()
                        .raw(std::string(96, 'x')));
  };
  EXPECT_EQ(two("b", 64), "no error");
  EXPECT_THAT(two("b", 32), HasSubstr("tensor 'b' at offset 32 overlaps tensor 'a' (64 bytes at offset 0)"));
  EXPECT_THAT(two("b", 0), HasSubstr("overlaps"));
  EXPECT_THAT(two("a", 64), AllOf(HasSubstr("tensor info 1 'a'"), HasSubstr("twice")));
}

TEST(Gguf, HonoursAlignment) {
  Bytes bytes;
  bytes.header(1, 1).text("general.alignment").u32(4).u32(256).tensor("t", {1}, 0, 256).pad(256);
  bytes.raw(std::string(256, '\0')).put(42.0f);
  const auto file = parse(bytes);
  float value = 0;
  std::memcpy(&value, file.tensor("t").data.data(), sizeof value);
  EXPECT_EQ(file.alignment(), 256u);
  EXPECT_EQ(value, 42.0f);
}

TEST(Gguf, FilesThatCannotBeOpened) {
  const std::filesystem::path folder = testing::TempDir();
  const auto open = [](const std::string& path) { return error_of([&] { GgufFile::open(path); }); };
  EXPECT_THAT(open((folder / "no_such.gguf").string()), HasSubstr("no such model file"));
  EXPECT_THAT(open(folder.string()), HasSubstr("is a directory"));
  EXPECT_THAT(open("/dev/null"), HasSubstr("not a regular file"));
  const auto empty = (folder / "empty.gguf").string();
  std::ofstream(empty).close();
  EXPECT_THAT(open(empty), HasSubstr("header: the file is empty"));
  std::filesystem::remove(empty);
}

TEST(Gguf, ACopyKeepsTheMappingAlive) {
  const auto path = (std::filesystem::path(testing::TempDir()) / "copy.gguf").string();
  std::ofstream(path, std::ios::binary) << valid().out;
  std::optional<GgufFile> copy;
  {
    const auto file = GgufFile::open(path);
    copy = file;
  }
  std::filesystem::remove(path);
  EXPECT_EQ(copy->tensor("b.weight").data[33], std::byte{'q'});
}

TEST(Gguf, DamagedFilesNeverCrash) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("GRETA_TEST_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto whole = valid();
  int refused = 0;
  constexpr int kRounds = 20000;
  for (int round = 0; round < kRounds; ++round) {
    Bytes damaged = whole;
    if (round % 4 == 0) {  // random bytes after a right start
      damaged.out.resize(8 + random() % 200);
      for (size_t i = 8; i < damaged.out.size(); ++i)
        damaged.out[i] = static_cast<char>(random() % (round % 8 ? 256 : 4));
    } else {
      for (uint64_t flips = 1 + random() % 4; flips > 0; --flips)
        damaged.out[random() % damaged.out.size()] ^= static_cast<char>(1 << random() % 8);
    }
    try {
      const auto file = parse(damaged);
      for (const auto& tensor : file.tensors())
        for (int64_t row = 0; row < tensor.rows(); ++row)
          ASSERT_EQ(tensor.row(row).size(), tensor.row_bytes());
      ASSERT_FALSE(inspect(file).empty());
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::bad_input);
      ++refused;
    }
  }
  EXPECT_GT(refused, kRounds / 2);
  EXPECT_LT(refused, kRounds) << "flips inside tensor data are harmless";
}

}  // namespace
}  // namespace greta
