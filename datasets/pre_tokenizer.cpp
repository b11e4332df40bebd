#define PCRE2_CODE_UNIT_WIDTH 8
#include "datasets/pre_tokenizer.hpp"

#include <pcre2.h>

#include <cstdint>
#include <memory>
#include <new>
#include <string>

#include "datasets/error.hpp"
#include "datasets/utf8.hpp"

namespace greta {
namespace {

// The rule that Meta published with Llama 3 (tokenizer.py). Its \s is Unicode's White_Space; PCRE2's also has
// U+180E, hence the explicit list.
#define GRETA_SPACE R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
constexpr std::string_view kLlamaBpe =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"                     // English contractions
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+)"                        // a word, with the space or symbol before it
    R"(|\p{N}{1,3})"                                      // digits in threes, from the left
    R"(| ?[^)" GRETA_SPACE R"(\p{L}\p{N}]+[\r\n]*)"       // symbols, with a space before and line ends after
    R"(|[)" GRETA_SPACE R"(]*[\r\n]+)"                    // white space up to its last line end
    R"(|[)" GRETA_SPACE R"(]+(?![^)" GRETA_SPACE R"(]))"  // white space but for the space before a word
    R"(|[)" GRETA_SPACE R"(]+)";
#undef GRETA_SPACE

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

const pcre2_code* llama_bpe_code() {
  static const std::unique_ptr<pcre2_code, FreeCode> code = [] {
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kLlamaBpe.data()), kLlamaBpe.size(),
                                         PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
    if (!compiled) fail_internal("the llama-bpe pattern fails at {}: {}", at, pcre2_message(error));
    return std::unique_ptr<pcre2_code, FreeCode>(compiled);
  }();
  return code.get();
}

// Ends of the pieces of valid UTF-8.
std::vector<size_t> piece_ends(std::string_view text) {
  const pcre2_code* code = llama_bpe_code();
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(
      pcre2_match_data_create_from_pattern(code, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  if (!data || !context) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), UINT32_MAX);  // a prompt may hold a million spaces in a row
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
  std::vector<size_t> ends;
  for (size_t at = 0; at < text.size(); at = range[1]) {
    const int matched =
        pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                    PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED | PCRE2_NOTEMPTY, data.get(), context.get());
    if (matched < 0) fail_internal("pre-tokenizer stopped at byte {}: {}", at, pcre2_message(matched));
    ends.push_back(range[1]);
  }
  return ends;
}

struct Cleaned {
  std::string text;            // each invalid byte replaced by U+FFFD
  std::vector<size_t> origin;  // for each byte of `text` and its end: the place in the original
};

Cleaned replace_invalid(std::string_view text) {
  Cleaned cleaned;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = first_character(text.substr(at));
    if (character.valid) {
      cleaned.text.append(text.substr(at, character.bytes));
    } else {
      append_utf8(cleaned.text, 0xFFFD);
    }
    cleaned.origin.resize(cleaned.text.size(), at);
    at += character.bytes;
  }
  cleaned.origin.push_back(text.size());
  return cleaned;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    if (!character.valid) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

}  // namespace

std::vector<std::string_view> split_llama_bpe(std::string_view text) {
  std::vector<size_t> ends;
  if (is_utf8(text)) {
    ends = piece_ends(text);
  } else {
    const Cleaned cleaned = replace_invalid(text);
    ends = piece_ends(cleaned.text);
    for (size_t& end : ends) end = cleaned.origin[end];
  }
  std::vector<std::string_view> pieces;
  pieces.reserve(ends.size());
  size_t begin = 0;
  for (const size_t end : ends) {
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

}  // namespace greta
