#include "reports/xml_text.hpp"

#include "datasets/utf8.hpp"

namespace greta::reports {
namespace {

// XML 1.0 (fifth edition), production 2.
bool allowed(char32_t c) {
  return c == 0x9 || c == 0xA || c == 0xD || (c >= 0x20 && c <= 0xD7FF) || (c >= 0xE000 && c <= 0xFFFD) ||
         (c >= 0x10000 && c <= 0x10FFFF);
}

}  // namespace

std::string xml_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character c = first_character(text);
    append_utf8(out, c.valid && allowed(c.code) ? c.code : U'\uFFFD');
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
}

}  // namespace greta::reports
