// greta explain: why the stages that failed in a run are wrong, when that can be proved.
#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/looks.hpp"
#include "cli/options.hpp"
#include "reports/atomic_file.hpp"
#include "reports/explanations.hpp"
#include "reports/terminal.hpp"
#include "suites/explain_run.hpp"

namespace greta::cli {
namespace {

Options options() {
  Options options("greta explain RUN [flags]",
                  "Tries every known cause (and, where none fits, every pair) on each stage that failed in "
                  "the run of that "
                  "directory: against whole\ntensors, in every place where the stage failed. A cause "
                  "explains a stage only "
                  "when all of them are inside its own error bound.\nWrites explanations.json there. The "
                  "exit code is the "
                  "run's: 0 when nothing failed.",
                  1, 1);
  options.flag("model,m", "PATH", "the model of the run, when it is no longer where the run found it")
      .flag("only", "KEY", "just the stages with a failing finding whose key matches: a substring, or a glob")
      .flag("tensors", "N", "of a stage, try at most so many failing tensors (default 256)");
  add_look_flags(options);
  return options;
}

}  // namespace

int explain(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  const auto looks = looks_of(given, streams);
  const suites::ExplainRun how{.directory = given.positional().front(),
                               .model_path = given.text("model"),
                               .only = given.text("only"),
                               .most_tensors = given.number("tensors", 1, 1 << 30).value_or(256)};
  const reports::RunResult run = suites::explain_run(how);
  if (run.explanations.empty())
    streams.out << "nothing to explain: no finding of this run fails\n";
  else
    streams.out << reports::explanations_section(run, looks.colours);
  const std::string path = (std::filesystem::path(how.directory) / "explanations.json").string();
  reports::write_atomically(path, reports::to_explanations_json(run));
  streams.out << fmt::format("\nwrote  {}\n\n", path) << reports::verdict_line(run, looks.colours);
  return static_cast<int>(run.exit_code());
}

}  // namespace greta::cli
