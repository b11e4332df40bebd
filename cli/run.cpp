// greta run: suites on a model, to a verdict for every stage.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <ostream>

#include "cli/arm_models.hpp"
#include "cli/artefacts.hpp"
#include "cli/commands.hpp"
#include "cli/engine_flags.hpp"
#include "cli/environment.hpp"
#include "cli/looks.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "cli/outputs.hpp"
#include "cli/suite_settings.hpp"
#include "datasets/error.hpp"
#include "reports/progress.hpp"
#include "reports/table.hpp"
#include "reports/terminal.hpp"
#include "suites/runner.hpp"
#include "suites/suite.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostSuites = 1000;

Options options() {
  Options options(
      "greta run [SUITE]… [flags]",
      "Runs suites (names of `greta list suites`, or .toml files; default: acceptance), one after another: "
      "the\n"
      "engine beside the reference, every stage of every layer compared. Leaves trace.h5, verdicts.json and "
      "the\n"
      "reports in the output directory of each; the exit code is the worst of theirs (70, 4, 3, 2, 1, 0).\n"
      "The GRETA_* variables override settings of every suite (docs/greta-flags.md).",
      0, kMostSuites);
  options.flag("model,m", "PATH|PRESET", "a .gguf file, or a preset to synthesise (default: the suite's)")
      .flag("quant", "Q", "quantisation of a preset (default: the suite's)")
      .flag("seed", "N", "of a preset's weights and of all that is random in the run (default: the suite's)")
      .flag("prompt,p", "SPEC",
            "a prompt instead of the suite's: NAME, file:PATH, text:WORDS, tokens:1,2,3 or random:N; "
            "repeatable",
            true)
      .flag("fault", "F", "plant a fault in every arm (greta list faults); repeatable", true)
      .flag("only", "KEY", "just the comparisons whose key matches: a substring, or a glob")
      .flag("out,o", "DIR", "output directory (default: runs/SUITE-TIME); of several suites: their parent")
      .flag("force,f", "", "overwrite a run that is in the output directory")
      .flag("wave", "64|32", "wave size of the host machine (default 64)")
      .flag("threads,j", "N", "workers (default: all cores)")
      .flag("order-seed", "N", "permutes the order in which the host machine runs lanes")
      .flag("no-trace", "", "leave no trace.h5")
      .flag("jsonl", "",
            "also trace.jsonl, the trace as text (large): greta trace export makes it later, too")
      .flag("cache", "DIR",
            "where synthesised models are kept (default: $XDG_CACHE_HOME/greta or ~/.cache/greta)");
  add_devices_flag(options);
  add_engine_flags(options);
  add_output_flags(options);
  add_look_flags(options);
  add_language_flag(options);
  return options;
}

auto says_making(Streams& streams) {
  return [&](const std::string& path) { streams.err << "greta run: making " << path << std::endl; };
}

std::string model_file(const suites::Suite& suite, const Given& given, Streams& streams) {
  check_model_name(suite.model);
  if (!is_preset(suite.model)) {
    if (given.has("quant"))
      fail_usage("--quant is for presets; '{}' is a file, quantised as it is", suite.model);
    return suite.model;
  }
  return cached_preset(suite.model, suite.quant, suite.seed, cache_directory(given.text("cache")),
                       says_making(streams));
}

// An earlier run is not overwritten unawares.
void refuse_overwriting(const std::string& directory) {
  for (const char* name : artefacts())
    if (fs::exists(fs::path(directory) / name))
      fail_usage(
          "'{}' holds a run already ({}); choose another directory with --out, or overwrite it with --force",
          directory, name);
}

// Returns whether the directory is new.
bool prepare(const std::string& directory) {
  const bool is_new = !fs::exists(directory);
  make_writable(directory, "--out");
  for (const char* name : artefacts()) fs::remove(fs::path(directory) / name);
  return is_new;
}

// "runs/acceptance-20261121T080000Z"; a second run in the same second gets "-2".
std::string default_directory(const suites::Suite& suite) {
  const std::time_t now = std::time(nullptr);
  char stamp[32];
  std::tm utc{};
  std::strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
  const std::string base = fmt::format("runs/{}-{}", fs::path(suite.path).stem().string(), stamp);
  std::string directory = base;
  for (int i = 2; fs::exists(directory); ++i) directory = fmt::format("{}-{}", base, i);
  return directory;
}

// What was typed, less where the results went, in which shape, and less the other suites: it can be typed
// again.
std::string rerun_of(const CommandLine& line, const std::string& suite,
                     const std::vector<std::string>& suites) {
  std::string text = environment_prefix() + "greta run";
  bool named = false;
  for (size_t i = 0; i < line.arguments.size(); ++i) {
    const std::string& word = line.arguments[i];
    if (const size_t words = output_words(word); words > 0) {
      i += words - 1;
      continue;
    }
    const bool other = word != suite && std::find(suites.begin(), suites.end(), word) != suites.end();
    if (!other) text += " " + reports::shell_quoted(word);
    named |= word == suite;
  }
  return named ? text : text + " " + reports::shell_quoted(suite);
}

suites::RunOptions run_options(const Given& given, const CommandLine& line) {
  suites::RunOptions options;
  options.command_line = line.whole;
  options.only = given.text("only");
  options.devices = engine::parse_devices(given.text("device", "host"));
  options.wave = std::stoi(given.one_of("wave", {"64", "32"}, "64"));
  options.threads = static_cast<int>(given.number("threads", 1, 4096).value_or(0));
  options.order_seed = given.seed("order-seed");
  options.keep_trace = !given.has("no-trace");
  options.last_save = false;  // write_reports
  return options;
}

reports::RunResult run_with_progress(const suites::Suite& suite, suites::RunOptions options,
                                     Streams& streams) {
  reports::ProgressLine line(streams.err_is_terminal, streams.width);
  options.progress = [&](const suites::Progress& at) {
    streams.err << line.update({at.done, at.total, at.seconds, at.eta_seconds, at.what}) << std::flush;
  };
  try {
    reports::RunResult result = suites::run(suite, options);
    streams.err << line.finish() << std::flush;
    return result;
  } catch (...) {
    streams.err << line.finish() << std::flush;
    throw;
  }
}

// One suite of the command, checked; its directory is made when its turn comes.
struct Job {
  std::string name;  // as typed
  suites::Suite suite;
  std::string directory;
};

std::vector<std::string> names_of(const Given& given) {
  return given.positional().empty() ? std::vector<std::string>{"acceptance"} : given.positional();
}

// Every suite is read, and every directory looked at, before the first one runs.
std::vector<Job> jobs_of(const Given& given, Streams& streams) {
  const auto names = names_of(given);
  const std::string parent = given.text("out");
  if (names.size() > 1 && !parent.empty())
    for (const char* name : artefacts())
      if (fs::exists(fs::path(parent) / name))
        fail_usage("'{}' holds a run itself ({}); several suites need a directory that can hold one of each",
                   parent, name);
  std::vector<Job> jobs;
  for (const auto& name : names) {
    Job job{name, suite_with_settings(name, given, streams.err), parent};
    const std::string stem = fs::path(job.suite.path).stem().string();
    for (const auto& other : jobs)
      if (fs::path(other.suite.path).stem().string() == stem)
        fail_usage("the suites '{}' and '{}' are both called {}; run them one by one", other.name, name,
                   stem);
    if (parent.empty())
      job.directory = default_directory(job.suite);
    else if (names.size() > 1)
      job.directory = (fs::path(parent) / stem).string();
    if (!given.has("force")) refuse_overwriting(job.directory);
    refuse_overwriting_pack(given, job.directory);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

struct Outcome {
  ExitCode code;
  std::string line;          // the verdict, or why there is none
  bool interrupted = false;  // what comes after is not begun
};

Outcome run_one(const Job& job, const Given& given, const CommandLine& line, Streams& streams) {
  suites::RunOptions how = run_options(given, line);
  reports::TerminalOptions looks = looks_of(given, streams);
  const auto languages = languages_of(given);
  speak(looks, languages);
  how.arm_models = arm_models(job.suite, given, says_making(streams));
  // Where every arm has a model of its own, there is no other.
  how.model_path = how.arm_models.size() == job.suite.arms.size()
                       ? how.arm_models.at(job.suite.arms.front().name)
                       : model_file(job.suite, given, streams);
  how.out_dir = job.directory;
  const bool is_new = prepare(how.out_dir);

  reports::RunResult result;
  try {
    result = run_with_progress(job.suite, how, streams);
  } catch (...) {
    std::error_code not_empty;  // before the first case there is nothing to keep
    fs::remove(how.out_dir + "/trace.h5", not_empty);
    if (is_new) fs::remove(how.out_dir, not_empty);
    throw;
  }
  result.rerun = rerun_of(line, job.name, names_of(given));
  streams.out << reports::terminal_report(result, looks) << std::flush;
  write_reports(result, how.out_dir, languages);
  write_jsonl(given, how.out_dir);
  streams.out << "\n" << written(how.out_dir);
  write_pack(given, how.out_dir, streams);
  print_format(given, result, looks.language, streams);
  const std::string verdict = reports::verdict_line(result, looks.colours, looks.language);
  streams.out << "\n" << verdict;
  return {result.exit_code(), verdict, !result.interrupted.empty()};
}

// Which of two exit codes says more: what went wrong in us, no verdict, a wrong input, a wrong command, FAIL.
int weight(ExitCode code) {
  const std::array order = {ExitCode::pass,      ExitCode::fail,    ExitCode::usage,
                            ExitCode::bad_input, ExitCode::invalid, ExitCode::internal};
  return static_cast<int>(std::find(order.begin(), order.end(), code) - order.begin());
}

// A suite that cannot run keeps the others from nothing; an interruption does.
int run_several(const std::vector<Job>& jobs, const Given& given, const CommandLine& line, Streams& streams) {
  ExitCode worst = ExitCode::pass;
  std::string lines;
  bool interrupted = false;
  for (const Job& job : jobs) {
    Outcome outcome{ExitCode::invalid, "INVALID  " + job.suite.title + ": not begun\n", true};
    if (!interrupted) {
      streams.out << fmt::format("\n=== {} ===\n\n", job.suite.path);
      try {
        outcome = run_one(job, given, line, streams);
      } catch (const Error& error) {
        outcome = {error.code(), fmt::format("ERROR  {}: {}\n", job.suite.title, error.what())};
        streams.err << fmt::format("greta run: {}: {}\n", job.name, error.what());
      }
    }
    interrupted |= outcome.interrupted;
    lines += outcome.line;
    if (weight(outcome.code) > weight(worst)) worst = outcome.code;
  }
  streams.out << fmt::format("\n=== {} suites ===\n\n", jobs.size()) << lines;
  return static_cast<int>(worst);
}

}  // namespace

int run_suite(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  run_options(given, line);  // a wrong flag is told before a suite is read
  engine_settings(given);
  check_output_flags(given);
  looks_of(given, streams);
  languages_of(given);
  const auto jobs = jobs_of(given, streams);
  if (jobs.size() > 1) return run_several(jobs, given, line, streams);
  return static_cast<int>(run_one(jobs.front(), given, line, streams).code);
}

}  // namespace greta::cli
