// One UTF-8 sequence at a time, strict as Unicode 3.9 (no overlong forms, no surrogates, nothing above
// U+10FFFF).
#pragma once

#include <string>
#include <string_view>

namespace greta {

struct Utf8Character {
  char32_t code;
  int bytes;   // 1 to 4; 1 when the first byte starts no valid sequence
  bool valid;  // false: `code` is that byte's value
};

// The first character of `text`, which must not be empty.
Utf8Character first_character(std::string_view text);

void append_utf8(std::string& to, char32_t code);

}  // namespace greta
