// What a subcommand is given, and what it is.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace greta::cli {

struct Streams {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false, err_is_terminal = false;
  int width = 100;  // columns of the terminal
};

struct CommandLine {
  std::vector<std::string> arguments;  // after the subcommand's name
  std::string whole;                   // as one would type it in a shell, GRETA_* variables included
};

struct Command {
  std::string_view name;  // "run", "model make"
  std::string_view doc;   // one line
  int (*run)(const CommandLine&, Streams&);
};

}  // namespace greta::cli
