#include "cli/looks.hpp"

#include <cstdlib>

namespace greta::cli {

void add_look_flags(Options& options) {
  options
      .flag("tables", "folded|all",
            "folded: cases that pass share a table; all: one for each arm, prompt and phase")
      .flag("color", "auto|always|never", "colours (default auto: on a terminal, unless NO_COLOR is set)");
}

reports::TerminalOptions looks_of(const Given& given, const Streams& streams) {
  const std::string color = given.one_of("color", {"auto", "always", "never"}, "auto");
  const std::string tables = given.one_of("tables", {"folded", "all"}, "folded");
  const char* no_color = std::getenv("NO_COLOR");
  const bool wanted = streams.out_is_terminal && !(no_color && *no_color);
  return {.width = streams.width,
          .colours = color == "always" || (color == "auto" && wanted),
          .tables = tables == "all" ? reports::Tables::all : reports::Tables::folded};
}

std::string markdown_name(reports::Language language) {
  return language == reports::Language::english ? "report.md"
                                                : "report." + std::string(reports::code_of(language)) + ".md";
}

void add_language_flag(Options& options) {
  options.flag("lang", "en|es|both",
               "languages of report.md and report.es.md (default both); es alone: the terminal's, too");
}

std::vector<reports::Language> languages_of(const Given& given) {
  const std::string asked = given.one_of("lang", {"en", "es", "both"}, "both");
  if (asked != "both") return {reports::parse_language(asked)};
  return {reports::languages().begin(), reports::languages().end()};
}

void speak(reports::TerminalOptions& looks, const std::vector<reports::Language>& languages) {
  if (languages.size() != 1) return;
  looks.language = languages.front();
  looks.rest = markdown_name(languages.front());
}

}  // namespace greta::cli
