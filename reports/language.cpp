#include "reports/language.hpp"

#include <array>
#include <boost/locale/gnu_gettext.hpp>
#include <boost/locale/message.hpp>
#include <locale>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::reports {

namespace catalogues {
std::string_view es();  // reports/languages/es.po, compiled (CMakeLists.txt here)
}

namespace {

constexpr std::array kLanguages = {Language::english, Language::spanish};

using Catalogue = boost::locale::message_format<char>;

// From the bytes that the build put into the program; no file is read.
const Catalogue* spanish() {
  static const std::locale locale = [] {
    boost::locale::gnu_gettext::messages_info info;
    info.language = "es";
    info.encoding = "UTF-8";
    info.domains.emplace_back("greta");
    info.paths = {"embedded"};
    info.callback = [](const std::string&, const std::string&) {
      const std::string_view bytes = catalogues::es();
      return std::vector<char>(bytes.begin(), bytes.end());
    };
    return std::locale(std::locale::classic(), boost::locale::gnu_gettext::create_messages_facet<char>(info));
  }();
  return std::has_facet<Catalogue>(locale) ? &std::use_facet<Catalogue>(locale) : nullptr;
}

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

std::string translate(Language language, std::string_view pattern) {
  const auto* catalogue = language == Language::spanish ? spanish() : nullptr;
  if (!catalogue || pattern.empty()) return std::string(pattern);  // "" is the catalogue's header
  const std::string key(pattern);
  const char* found = catalogue->get(0, nullptr, key.c_str());
  return found ? found : key;
}

std::string in(Language language, const Message& message) {
  return message.text([&](std::string_view pattern) { return translate(language, pattern); });
}

}  // namespace greta::reports
