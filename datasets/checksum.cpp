#include "datasets/checksum.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "datasets/error.hpp"

namespace greta {
namespace {

static_assert(std::endian::native == std::endian::little, "words of a checksum have the little end first");

// Calls each(word, index) for whole words, then for the filled-up rest.
template <typename Each>
void for_each_word(std::span<const std::byte> bytes, Each&& each) {
  const size_t whole = bytes.size() / sizeof(uint64_t);
  uint64_t word;
  for (size_t i = 0; i < whole; ++i) {
    std::memcpy(&word, bytes.data() + i * sizeof(word), sizeof(word));
    each(word, i, sizeof(word));
  }
  if (const auto rest = bytes.subspan(whole * sizeof(word)); !rest.empty()) {
    word = 0;
    std::memcpy(&word, rest.data(), rest.size());
    each(word, whole, rest.size());
  }
}

}  // namespace

uint64_t mix_word(uint64_t word, uint64_t index) {
  constexpr uint64_t kStep = 0x9E3779B97F4A7C15, kFirst = 0xBF58476D1CE4E5B9, kSecond = 0x94D049BB133111EB;
  word += kStep * (index + 1);
  word ^= word >> 30;
  word *= kFirst;
  word ^= word >> 27;
  word *= kSecond;
  return word ^ word >> 31;
}

uint64_t checksum(std::span<const std::byte> bytes) {
  uint64_t sum = mix_word(bytes.size(), std::numeric_limits<uint64_t>::max());
  for_each_word(bytes, [&](uint64_t word, size_t i, size_t) { sum += mix_word(word, i); });
  return sum;
}

std::string checksum_hex(uint64_t checksum) { return fmt::format("{:016x}", checksum); }

uint64_t parse_checksum(const std::string& digits) {
  uint64_t checksum = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, checksum, 16);
  if (digits.size() != 16 || error != std::errc() || end != last)
    fail_input("'{}' is no checksum: it has 16 hexadecimal digits", digits);
  return checksum;
}

PatternFaults check_pattern(uint64_t seed, std::span<const std::byte> bytes) {
  PatternFaults faults;
  for_each_word(bytes, [&](uint64_t word, size_t i, size_t size) {
    const uint64_t mask = std::numeric_limits<uint64_t>::max() >> (64 - 8 * size);
    if (word != (mix_word(seed, i) & mask)) {
      if (faults.wrong++ == 0) faults.first = static_cast<int64_t>(i);
    }
    ++faults.words;
  });
  return faults;
}

}  // namespace greta
