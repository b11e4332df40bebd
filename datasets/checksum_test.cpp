// The definition in datasets/checksum.hpp, by known values and by what it must notice.
#include "datasets/checksum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/test_seed.hpp"

namespace greta {
namespace {

std::vector<std::byte> random_bytes(std::mt19937_64& random, size_t count) {
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// SplitMix64's first numbers from seed 0, as its authors publish them.
TEST(Checksum, MixesAsSplitMix64) {
  EXPECT_EQ(mix_word(0, 0), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(mix_word(0, 1), 0x6E789E6AA1B965F4u);
  EXPECT_EQ(mix_word(0, 2), 0x06C45D188009454Fu);
}

TEST(Checksum, IsTheSumOfMixedWords) {
  const std::vector<std::byte> bytes = {std::byte{1}, {}, {}, {}, {}, {}, {}, {}, std::byte{2}, std::byte{3}};
  EXPECT_EQ(checksum(bytes), mix_word(1, 0) + mix_word(0x302, 1) + mix_word(10, ~uint64_t{0}));
  EXPECT_EQ(checksum({}), mix_word(0, ~uint64_t{0}));
  EXPECT_EQ(checksum_hex(0xabc), "0000000000000abc");
  EXPECT_EQ(parse_checksum(checksum_hex(0xfedcba9876543210)), 0xfedcba9876543210u);
  for (const char* wrong : {"", "abc", "0000000000000abg", "00000000000000abc"})
    EXPECT_THROW(parse_checksum(wrong), Error) << wrong;
}

TEST(Checksum, NoticesABitAnExchangeAndAnotherLength) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto bytes = random_bytes(random, 1003);
  const uint64_t sum = checksum(bytes);
  for (int trial = 0; trial < 100; ++trial) {
    auto changed = bytes;
    changed[random() % changed.size()] ^= static_cast<std::byte>(1 << random() % 8);
    EXPECT_NE(checksum(changed), sum);
  }
  auto exchanged = bytes;
  std::swap_ranges(exchanged.begin(), exchanged.begin() + 8, exchanged.begin() + 80);
  EXPECT_NE(checksum(exchanged), sum);
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_NE(checksum(longer), sum);
}

TEST(Checksum, CountsTheWrongWordsOfAPattern) {
  std::vector<std::byte> bytes(1003);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(mix_word(77, i / 8) >> (i % 8 * 8));
  PatternFaults faults = check_pattern(77, bytes);
  EXPECT_EQ(faults.words, 126);
  EXPECT_EQ(faults.wrong, 0);
  EXPECT_EQ(check_pattern(78, bytes).wrong, 126);
  bytes[1002] ^= std::byte{1};  // in the word that is not whole
  bytes[800] ^= std::byte{16}, bytes[801] ^= std::byte{16};
  faults = check_pattern(77, bytes);
  EXPECT_EQ(faults.wrong, 2);
  EXPECT_EQ(faults.first, 100);
}

}  // namespace
}  // namespace greta
