// greta run: a suite on a model, to a verdict for every stage.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <ostream>

#include "cli/arm_models.hpp"
#include "cli/artefacts.hpp"
#include "cli/commands.hpp"
#include "cli/environment.hpp"
#include "cli/looks.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "cli/outputs.hpp"
#include "cli/suite_files.hpp"
#include "datasets/error.hpp"
#include "engine/faults/fault.hpp"
#include "reports/progress.hpp"
#include "reports/table.hpp"
#include "reports/terminal.hpp"
#include "suites/runner.hpp"
#include "suites/suite.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

Options options() {
  Options options(
      "greta run [SUITE] [flags]",
      "Runs a suite (a name of `greta list suites`, or a .toml file; default: acceptance): the engine beside "
      "the reference, every stage\nof every layer compared. Leaves trace.h5, verdicts.json and the reports "
      "in "
      "the output directory.\nGRETA_QKV_FORCE_ROUTE=mfma|valu|auto and GRETA_QKV_FORCE_GEMM=gemm|gemv|auto "
      "override unit and shape of every arm.",
      0, 1);
  options.flag("model,m", "PATH|PRESET", "a .gguf file, or a preset to synthesise (default: the suite's)")
      .flag("quant", "Q", "quantisation of a preset (default: the suite's)")
      .flag("seed", "N", "of a preset's weights and of all that is random in the run (default: the suite's)")
      .flag("prompt,p", "SPEC",
            "a prompt instead of the suite's: NAME, file:PATH, text:WORDS, tokens:1,2,3 or random:N; "
            "repeatable",
            true)
      .flag("fault", "F", "plant a fault in every arm (greta list faults); repeatable", true)
      .flag("only", "KEY", "just the comparisons whose key matches: a substring, or a glob")
      .flag("out,o", "DIR", "output directory (default: runs/SUITE-TIME)")
      .flag("force,f", "", "overwrite a run that is in the output directory")
      .flag("wave", "64|32", "wave size of the host machine (default 64)")
      .flag("threads,j", "N", "workers (default: all cores)")
      .flag("order-seed", "N", "permutes the order in which the host machine runs lanes")
      .flag("no-trace", "", "leave no trace.h5")
      .flag("jsonl", "",
            "also trace.jsonl, the trace as text (large): greta trace export makes it later, too")
      .flag("cache", "DIR",
            "where synthesised models are kept (default: $XDG_CACHE_HOME/greta or ~/.cache/greta)");
  add_output_flags(options);
  add_look_flags(options);
  add_language_flag(options);
  return options;
}

// The variables override every arm; arms that are then no different from an earlier one are dropped.
void override_arms(suites::Suite& suite, std::ostream& err) {
  if (forced_unit().empty() && forced_shape().empty()) return;
  std::vector<suites::Arm> kept;
  for (auto arm : suite.arms) {
    if (!forced_unit().empty()) arm.unit = forced_unit();
    if (!forced_shape().empty()) arm.shape = forced_shape();
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const auto& other) {
      return other.unit == arm.unit && other.shape == arm.shape && other.faults == arm.faults &&
             other.quant == arm.quant && other.seed == arm.seed &&
             (other.prompts.empty() || other.prompts == arm.prompts);
    });
    if (same == kept.end())
      kept.push_back(arm);
    else
      err << fmt::format("greta run: arm '{}' is left out: with unit={} shape={} it is arm '{}'\n", arm.name,
                         arm.unit, arm.shape, same->name);
  }
  suite.arms = std::move(kept);
}

suites::Suite suite_of(const Given& given, Streams& streams) {
  const auto& positional = given.positional();
  suites::Suite suite =
      suites::load_suite(find_suite(positional.empty() ? "acceptance" : positional.front()));
  suite.model = given.text("model", suite.model);
  suite.quant = given.text("quant", suite.quant);
  suite.seed = given.seed("seed").value_or(suite.seed);
  if (given.has("prompt")) {
    suite.prompts = given.texts("prompt");
    for (auto& arm : suite.arms) arm.prompts.clear();
  }
  for (auto& arm : suite.arms)
    for (const auto& fault : given.texts("fault")) {
      engine::Fault::parse(fault);  // a typo is told before a model is made
      arm.faults.push_back(fault);
    }
  override_arms(suite, streams.err);
  return suite;
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

// An earlier run is not overwritten unawares. Returns whether the directory is new.
bool prepare(const std::string& directory, bool force) {
  const bool is_new = !fs::exists(directory);
  make_writable(directory, "--out");
  for (const char* name : artefacts()) {
    const fs::path path = fs::path(directory) / name;
    if (!fs::exists(path)) continue;
    if (!force)
      fail_usage(
          "'{}' holds a run already ({}); choose another directory with --out, or overwrite it with --force",
          directory, name);
    fs::remove(path);
  }
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

// What was typed, less where the results went and in which shape: it can be typed again.
std::string rerun_of(const CommandLine& line, const std::string& suite) {
  std::string text = environment_prefix() + "greta run";
  bool named = false;
  for (size_t i = 0; i < line.arguments.size(); ++i) {
    const std::string& word = line.arguments[i];
    if (const size_t words = output_words(word); words > 0) {
      i += words - 1;
      continue;
    }
    text += " " + reports::shell_quoted(word);
    named |= word == suite;
  }
  return named ? text : text + " " + reports::shell_quoted(suite);
}

suites::RunOptions run_options(const Given& given, const CommandLine& line) {
  suites::RunOptions options;
  options.command_line = line.whole;
  options.only = given.text("only");
  options.wave = std::stoi(given.one_of("wave", {"64", "32"}, "64"));
  options.threads = static_cast<int>(given.number("threads", 1, 4096).value_or(0));
  options.order_seed = given.seed("order-seed");
  options.keep_trace = !given.has("no-trace");
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

}  // namespace

int run_suite(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  suites::RunOptions how = run_options(given, line);
  check_output_flags(given);
  reports::TerminalOptions looks = looks_of(given, streams);
  const auto languages = languages_of(given);
  speak(looks, languages);
  const suites::Suite suite = suite_of(given, streams);
  how.arm_models = arm_models(suite, given, says_making(streams));
  // Where every arm has a model of its own, there is no other.
  how.model_path = how.arm_models.size() == suite.arms.size() ? how.arm_models.at(suite.arms.front().name)
                                                              : model_file(suite, given, streams);
  how.out_dir = given.text("out", default_directory(suite));
  refuse_overwriting_pack(given, how.out_dir);
  const bool is_new = prepare(how.out_dir, given.has("force"));

  reports::RunResult result;
  try {
    result = run_with_progress(suite, how, streams);
  } catch (...) {
    std::error_code not_empty;  // before the first case there is nothing to keep
    fs::remove(how.out_dir + "/trace.h5", not_empty);
    if (is_new) fs::remove(how.out_dir, not_empty);
    throw;
  }
  result.rerun = rerun_of(line, given.positional().empty() ? "acceptance" : given.positional().front());
  streams.out << reports::terminal_report(result, looks) << std::flush;
  write_reports(result, how.out_dir, languages);
  write_jsonl(given, how.out_dir);
  streams.out << "\n" << written(how.out_dir);
  write_pack(given, how.out_dir, streams);
  print_format(given, result, looks.language, streams);
  streams.out << "\n" << reports::verdict_line(result, looks.colours, looks.language);
  return static_cast<int>(result.exit_code());
}

}  // namespace greta::cli
