// GPT-2's byte alphabet: each of the 256 bytes has one printable character, so that a byte-level vocabulary
// is text. Bytes 33..126, 161..172 and 174..255 are the character of the same number; the other 68, in order,
// are U+0100 and up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace greta {

// The bytes in the order in which GPT-2 and Llama-3 number their first 256 tokens: the printable ones first.
const std::array<uint8_t, 256>& alphabet_order();

const std::string& alphabet_text(uint8_t byte);
std::optional<uint8_t> alphabet_byte(char32_t character);

std::string to_alphabet(std::string_view bytes);
// Characters outside the alphabet stay as they are (special tokens are stored as plain text).
std::string from_alphabet(std::string_view text);

}  // namespace greta
