// dequant (and with it unpack.hpp) against blocks written by hand, and against the tests' own decoder on
// random ones.
#include <gtest/gtest.h>

#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

struct Known {
  int index;
  float value;
};

// One row of one block through dequant and through the tests' decoder.
void expect_known(WeightType type, const std::vector<uint8_t>& block, const std::vector<Known>& known) {
  ASSERT_EQ(static_cast<int>(block.size()), block_bytes(type));
  const DeviceArray<uint8_t> data(block);
  const Weight w{data.data(), type, 1, block_values(type)};
  const std::vector<Outcome> runs =
      run_everywhere(static_cast<size_t>(w.columns), [&](float* out) { return dequant(nullptr, w, out); });
  for (const Known& k : known) {
    EXPECT_EQ(runs[0].out[static_cast<size_t>(k.index)], k.value) << type_name(type) << " value " << k.index;
    EXPECT_EQ(decode(type, block.data(), k.index), k.value)
        << "the tests' decoder, " << type_name(type) << " value " << k.index;
  }
}

// d = 0.5, dmin = 0.25; scales 1 2 3 63 17 37 63 4, minima 0 10 63 7 33 18 0 55.
std::vector<uint8_t> header_k45() {
  return {0x00, 0x38, 0x00, 0x34, 0x41, 0x82, 0xc3, 0x3f, 0x80, 0x4a, 0x3f, 0xc7, 0x11, 0x25, 0x0f, 0x74};
}

// Byte b: low nibble b % 16, high nibble b / 8 % 16.
void append_nibbles(std::vector<uint8_t>& block) {
  for (int b = 0; b < 128; ++b) block.push_back(static_cast<uint8_t>(b % 16 | b / 8 % 16 << 4));
}

TEST(Unpack, Q4KByHand) {
  std::vector<uint8_t> block = header_k45();
  append_nibbles(block);
  expect_known(WeightType::q4_K, block,
               {{0, 0},
                {5, 2.5f},
                {37, -2.5f},
                {63, 0.5f},
                {70, -6.75f},
                {127, 218.75f},
                {130, 8.75f},
                {191, 199},
                {200, 252},
                {255, 16.25f}});
}

TEST(Unpack, Q5KByHand) {
  std::vector<uint8_t> block = header_k45();
  for (int l = 0; l < 32; ++l) block.push_back(static_cast<uint8_t>(l | l % 2 << 7));
  append_nibbles(block);
  expect_known(
      WeightType::q5_K, block,
      {{5, 10.5f}, {37, -2.5f}, {70, 17.25f}, {130, 8.75f}, {144, 127.75f}, {254, 16.25f}, {255, 48.25f}});
}

TEST(Unpack, Q6KByHand) {
  std::vector<uint8_t> block;
  for (int b = 0; b < 128; ++b) block.push_back(static_cast<uint8_t>(b % 16 | b / 4 % 16 << 4));
  for (int b = 0; b < 64; ++b) {
    block.push_back(static_cast<uint8_t>(b % 4 | (b + 1) % 4 << 2 | (b + 2) % 4 << 4 | (b + 3) % 4 << 6));
  }
  for (int i = 0; i < 16; ++i) block.push_back(static_cast<uint8_t>(3 * i - 20));
  block.push_back(0x00), block.push_back(0x38);
  expect_known(WeightType::q6_K, block,
               {{1, 150}, {50, -99}, {71, 60}, {127, 7.5f}, {128, -64}, {173, 65}, {208, 38}, {255, 187.5f}});
}

TEST(Unpack, Q8AndQ4ByHand) {
  std::vector<uint8_t> q8 = {0x00, 0x38};
  for (int i = 0; i < 32; ++i) q8.push_back(static_cast<uint8_t>(i * 8 - 128));
  expect_known(WeightType::q8_0, q8, {{0, -64}, {15, -4}, {16, 0}, {31, 60}});
  std::vector<uint8_t> q4 = {0x00, 0x40};
  for (int i = 0; i < 16; ++i) q4.push_back(static_cast<uint8_t>(i | (15 - i) << 4));
  expect_known(WeightType::q4_0, q4, {{0, -16}, {3, -10}, {15, 14}, {16, 14}, {19, 8}, {31, -16}});
}

TEST(Unpack, PlainTypesByHand) {
  expect_known(WeightType::f32, {0x00, 0x00, 0xc0, 0xbf}, {{0, -1.5f}});
  expect_known(WeightType::f16, {0x01, 0x00}, {{0, 0x1p-24f}});
  expect_known(WeightType::f16, {0xff, 0xfb}, {{0, -65504}});
  expect_known(WeightType::bf16, {0xc0, 0xbf}, {{0, -1.5f}});
}

// At most one rounding: the result is within half an ulp of the larger of its two terms' difference, so
// within u·|value| of the exact one.
TEST(Unpack, RandomBlocksOfEveryType) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes) {
    const int64_t rows = 7, columns = block_values(type) == 1 ? 45 : 3 * block_values(type);
    const std::vector<uint8_t> bytes = random_weight(type, rows, columns, random);
    const std::vector<double> want = decode_all(type, bytes, rows, columns);
    const DeviceArray<uint8_t> data(bytes);
    const Weight w{data.data(), type, rows, columns};
    for (const Outcome& run : run_everywhere(want.size(), [&](float* out) { return dequant(nullptr, w, out); })) {
      EXPECT_EQ(run.attested.kernel, std::string("dequant_") + type_name(type) + "<block=64>");
      EXPECT_EQ(run.attested.contract, "op=dequant w=f32");
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_EQ(run.out[i], static_cast<float>(want[i])) << type_name(type) << " value " << i;
      }
    }
  }
}

TEST(Unpack, EmbedTakesTheRowsOfItsTokens) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes) {
    const int64_t vocabulary = 13, columns = block_values(type) == 1 ? 50 : 2 * block_values(type);
    const std::vector<uint8_t> bytes = random_weight(type, vocabulary, columns, random);
    const std::vector<double> table = decode_all(type, bytes, vocabulary, columns);
    const DeviceArray<uint8_t> data(bytes);
    const std::vector<int32_t> tokens = {12, 0, 5, 5, -1, 13, 1};
    const DeviceArray<int32_t> device_tokens(tokens);
    const Weight w{data.data(), type, vocabulary, columns};
    const size_t count = tokens.size() * static_cast<size_t>(columns);
    for (const Outcome& run : run_everywhere(count, [&](float* out) {
           return embed(nullptr, w, device_tokens.data(), static_cast<int64_t>(tokens.size()), out);
         })) {
      EXPECT_EQ(run.attested.kernel, std::string("embed_") + type_name(type) + "<block=64>");
      for (size_t i = 0; i < count; ++i) {
        const int32_t token = tokens[i / static_cast<size_t>(columns)];
        if (token < 0 || token >= vocabulary) {
          ASSERT_TRUE(std::isnan(run.out[i])) << "a token outside the table";
        } else {
          const double want = table[static_cast<size_t>(token * columns) + i % static_cast<size_t>(columns)];
          ASSERT_EQ(run.out[i], static_cast<float>(want)) << type_name(type) << " output " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace greta::kernels::test
