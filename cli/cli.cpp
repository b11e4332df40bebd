#include "cli/cli.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <new>

#include "cli/commands.hpp"
#include "cli/environment.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "reports/table.hpp"

namespace greta::cli {
namespace {

constexpr std::array<Command, 14> kCommands = {{
    {"run", "run a suite: engine beside reference, a verdict for every stage", run_suite},
    {"explain", "why the stages that failed in a run are wrong, when that can be proved", explain},
    {"report", "make the reports of a run again, in the languages asked for", report},
    {"bench", "what an engine does in a second", bench},
    {"selftest", "plant every known fault and see whether it is found, placed and named", selftest},
    {"list", "what there is: probes, stages, suites, faults, prompts, presets", list},
    {"model make", "synthesise a Llama model as a GGUF file", model_make},
    {"model inspect", "describe a GGUF file", model_inspect},
    {"trace inspect", "list what a trace holds", trace_inspect},
    {"trace export", "a trace as text, in the vocabulary of the original stage traces", trace_export},
    {"accept", "hold a fix against what it fixes: the acceptance report", accept},
    {"compare", "hold two traces against each other", compare},
    {"reference", "what the float64 reference computes, every stage, no engine involved", reference},
    {"doctor", "what this machine is, and whether greta can run here", doctor},
}};

std::string overview() {
  std::string text =
      "greta: differential testing and numerical verification of LLM inference engines\n\n"
      "usage: greta COMMAND [arguments]    greta COMMAND --help    greta --version\n\n";
  for (const auto& command : kCommands) text += fmt::format("  {:<14} {}\n", command.name, command.doc);
  text +=
      "\nexit codes: 0 every verdict PASS, 1 a FAIL, 2 wrong usage, 3 unreadable input, 4 INVALID (no "
      "verdict), 70 "
      "internal error\n\nenvironment:\n";
  for (const auto& variable : known_environment())
    text += fmt::format("  {}={}\n      {}\n", variable.name, variable.values, variable.doc);
  return text;
}

// Names are one word or two: "run", "model make".
const Command& find_command(const std::vector<std::string>& words, size_t& used) {
  const std::string two = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  std::vector<std::string> names, seconds;
  for (const auto& command : kCommands) {
    const bool whole = command.name == words[0];
    if (whole || command.name == two) {
      used = whole ? 1 : 2;
      return command;
    }
    names.emplace_back(command.name);
    if (command.name.starts_with(words[0] + " "))
      seconds.emplace_back(command.name.substr(words[0].size() + 1));
  }
  if (seconds.empty()) throw Error(ExitCode::usage, unknown_name("command", words[0], names));
  const bool missing = words.size() < 2 || words[1].starts_with("-");
  if (missing) fail_usage("{} what? ({})", words[0], fmt::join(seconds, ", "));
  throw Error(ExitCode::usage, unknown_name(words[0] + " command", words[1], seconds));
}

std::string typed(int argc, const char* const* argv) {
  std::string text = environment_prefix() + "greta";
  for (int i = 1; i < argc; ++i) text += " " + reports::shell_quoted(argv[i]);
  return text;
}

Streams streams_of(std::ostream& out, std::ostream& err) {
  Streams streams{out, err};
  streams.out_is_terminal = &out == &std::cout && isatty(STDOUT_FILENO);
  streams.err_is_terminal = &err == &std::cerr && isatty(STDERR_FILENO);
  winsize size{};
  const int file = streams.out_is_terminal ? STDOUT_FILENO : STDERR_FILENO;
  if ((streams.out_is_terminal || streams.err_is_terminal) && ioctl(file, TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0)
    streams.width = size.ws_col;
  return streams;
}

int dispatch(const std::vector<std::string>& words, const std::string& whole, std::string& name,
             Streams& streams) {
  const bool asks_help = !words.empty() && (words[0] == "--help" || words[0] == "-h" || words[0] == "help");
  if (asks_help || words.empty()) {
    (words.empty() ? streams.err : streams.out) << overview();
    return static_cast<int>(words.empty() ? ExitCode::usage : ExitCode::pass);
  }
  if (words[0] == "--version") {
    streams.out << fmt::format("greta {} ({})\n", GRETA_VERSION, GRETA_BUILD);
    return 0;
  }
  if (words[0].starts_with("-")) {
    const std::vector<std::string> flags = {"--help", "--version"};
    fail_usage("unknown flag '{}'; did you mean '{}'?", words[0], nearest(words[0], flags));
  }
  size_t used = 0;
  const Command& command = find_command(words, used);
  name = fmt::format("greta {}", command.name);
  check_environment();
  const auto rest = words.begin() + static_cast<std::ptrdiff_t>(used);
  return command.run({std::vector<std::string>(rest, words.end()), whole}, streams);
}

// Messages are one line, whatever a library put into them.
int complain(std::ostream& err, const std::string& name, std::string sentence, ExitCode code) {
  std::replace(sentence.begin(), sentence.end(), '\n', ' ');
  err << name << ": " << sentence << std::endl;
  return static_cast<int>(code);
}

}  // namespace

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Streams streams = streams_of(out, err);
  std::string name = "greta";
  try {
    const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    const int code = dispatch(words, typed(argc, argv), name, streams);
    if (!out.flush()) return complain(err, name, "cannot write to the standard output", ExitCode::internal);
    return code;
  } catch (const Error& error) {
    return complain(err, name, error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return complain(err, name, "out of memory", ExitCode::internal);
  } catch (const std::exception& error) {
    return complain(err, name, std::string("internal error: ") + error.what(), ExitCode::internal);
  }
}

}  // namespace greta::cli
