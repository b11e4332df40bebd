#include "datasets/byte_alphabet.hpp"

#include <algorithm>

#include "datasets/utf8.hpp"

namespace greta {
namespace {

bool is_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<uint8_t, 256> order{};
  std::array<std::string, 256> text;
  std::array<int, 256 + 68> byte{};  // by character; -1: not of the alphabet

  Alphabet() {
    byte.fill(-1);
    for (int i = 0; i < 256; ++i) order[i] = static_cast<uint8_t>(i);
    std::stable_partition(order.begin(), order.end(), is_itself);
    char32_t next = 256;
    for (const uint8_t value : order) {
      const char32_t character = is_itself(value) ? value : next++;
      append_utf8(text[value], character);
      byte[character] = value;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

const std::array<uint8_t, 256>& alphabet_order() { return alphabet().order; }

const std::string& alphabet_text(uint8_t byte) { return alphabet().text[byte]; }

std::optional<uint8_t> alphabet_byte(char32_t character) {
  const auto& bytes = alphabet().byte;
  if (character >= bytes.size() || bytes[character] < 0) return std::nullopt;
  return static_cast<uint8_t>(bytes[character]);
}

std::string to_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) text += alphabet_text(static_cast<uint8_t>(byte));
  return text;
}

std::string from_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    const auto byte = character.valid ? alphabet_byte(character.code) : std::nullopt;
    if (byte) {
      bytes.push_back(static_cast<char>(*byte));
    } else {
      bytes.append(text.substr(0, character.bytes));
    }
    text.remove_prefix(character.bytes);
  }
  return bytes;
}

}  // namespace greta
