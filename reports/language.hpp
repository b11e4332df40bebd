// The languages of the reports. A sentence is made once, in English (datasets/message.hpp); a catalogue has
// it in every other language.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "datasets/message.hpp"

namespace greta::reports {

enum class Language { english, spanish };
std::span<const Language> languages();
std::string_view code_of(Language);          // "en", "es"
Language parse_language(std::string_view);   // Error (usage) with the nearest right one
std::string translate(Language, std::string_view pattern);
std::string in(Language, const Message&);

}  // namespace greta::reports
