#include "reports/language.hpp"

#include <array>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::reports {
namespace {

constexpr std::array kLanguages = {Language::english, Language::spanish};

}  // namespace

std::span<const Language> languages() { return kLanguages; }

std::string_view code_of(Language language) { return language == Language::english ? "en" : "es"; }

Language parse_language(std::string_view code) {
  std::vector<std::string> known;
  for (const Language language : kLanguages) {
    if (code_of(language) == code) return language;
    known.emplace_back(code_of(language));
  }
  fail_usage("{}", unknown_name("language", std::string(code), known));
}

std::string translate(Language, std::string_view pattern) { return std::string(pattern); }

std::string in(Language language, const Message& message) {
  return message.text([&](std::string_view pattern) { return translate(language, pattern); });
}

}  // namespace greta::reports
