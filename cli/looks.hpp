// The flags of every command that prints verdict tables: --tables and --color.
#pragma once

#include "cli/command.hpp"
#include "cli/options.hpp"
#include "reports/terminal.hpp"

namespace greta::cli {

void add_look_flags(Options& options);
// Colours on a terminal unless NO_COLOR is set; Error (usage) on a value that a flag does not take.
reports::TerminalOptions looks_of(const Given& given, const Streams& streams);

}  // namespace greta::cli
