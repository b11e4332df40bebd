// cli/: the program `greta`, one file a subcommand. It may include everything; nothing includes it.
// To add a subcommand: NAME.cpp with `int NAME(const CommandLine&, Streams&)`, its declaration in
// commands.hpp, one row of the table in cli.cpp.
#pragma once

#include <iosfwd>

namespace greta::cli {

// The whole program but for `main`: argv[0] is its name. Returns the exit code (DESIGN: commands and exit
// codes); whatever goes wrong is one line on `err`. Colours and progress are for terminals only: std::cout
// and std::cerr when they are one.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace greta::cli
