// The flags of every command that prints verdict tables: --tables and --color; and --lang, of those that
// write reports.
#pragma once

#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/options.hpp"
#include "reports/terminal.hpp"

namespace greta::cli {

void add_look_flags(Options& options);
// Colours on a terminal unless NO_COLOR is set; Error (usage) on a value that a flag does not take.
reports::TerminalOptions looks_of(const Given& given, const Streams& streams);

// The name of the report in words: report.md, report.es.md.
std::string markdown_name(reports::Language language);

void add_language_flag(Options& options);
// What is written is in both languages unless one is asked for.
std::vector<reports::Language> languages_of(const Given& given);
// What is printed is in English, unless Spanish alone is asked for.
void speak(reports::TerminalOptions& looks, const std::vector<reports::Language>& languages);

}  // namespace greta::cli
