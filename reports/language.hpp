// The languages of the reports. A sentence is made once, in English (datasets/message.hpp); a catalogue has
// it in every other language, and is part of the program.
//
// To add a sentence: say("a literal pattern", …), and the pattern's translation in reports/languages/*.po
// (the test `messages` names what is missing, left over, or has other fields). To add a language: an
// enumerator and its code here, LANGUAGE.po beside es.po, its name in CMakeLists.txt.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "datasets/message.hpp"

namespace greta::reports {

enum class Language { english, spanish };
std::span<const Language> languages();
std::string_view code_of(Language);         // "en", "es"
Language parse_language(std::string_view);  // Error (usage) with the nearest right one
// A pattern in that language; as it is where the catalogue (reports/languages/) does not have it.
std::string translate(Language, std::string_view pattern);
std::string in(Language, const Message&);

// A report's own words: in(language, say(…)). The pattern is a literal, like say's.
template <typename... Arguments>
std::string tr(Language language, const char* pattern, Arguments&&... arguments) {
  return in(language, say(pattern, std::forward<Arguments>(arguments)...));
}

}  // namespace greta::reports
