// greta report: the reports of a run made again from its verdicts.json.
#include <filesystem>
#include <ostream>

#include "cli/artefacts.hpp"
#include "cli/commands.hpp"
#include "cli/looks.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "cli/outputs.hpp"
#include "datasets/error.hpp"
#include "reports/terminal.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

Options options() {
  Options options(
      "greta report RUN [flags]",
      "Makes every report of a finished run again from its verdicts.json, and prints the terminal's. RUN "
      "is the run's directory, or a\nverdicts.json. The exit code is the run's.",
      1, 1);
  options.flag("out,o", "DIR", "where the reports go (default: beside verdicts.json)");
  add_output_flags(options);
  add_language_flag(options);
  add_look_flags(options);
  return options;
}

std::string verdicts_of(const std::string& run) {
  std::error_code problem;
  if (!fs::exists(run, problem))
    fail_input("there is no '{}'; name the directory of a run, or its verdicts.json", run);
  if (!fs::is_directory(run, problem)) return run;
  const fs::path file = fs::path(run) / "verdicts.json";
  if (!fs::exists(file, problem))
    fail_input("'{}' is not the directory of a run: it has no verdicts.json", run);
  return file.string();
}

}  // namespace

int report(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  check_output_flags(given);
  auto looks = looks_of(given, streams);
  const auto languages = languages_of(given);
  speak(looks, languages);
  const std::string verdicts = verdicts_of(given.positional().front());
  const reports::RunResult run = reports::read_verdicts_json(verdicts);
  const std::string beside = fs::path(verdicts).parent_path().string();
  const std::string directory = given.text("out", beside.empty() ? "." : beside);
  make_writable(directory, "--out");
  write_reports(run, directory, languages);
  streams.out << reports::terminal_report(run, looks) << "\n" << written(directory);
  write_pack(given, directory, streams);
  print_format(given, run, looks.language, streams);
  streams.out << "\n" << reports::verdict_line(run, looks.colours, looks.language);
  return static_cast<int>(run.exit_code());
}

}  // namespace greta::cli
