// greta selftest: what a verdict of this harness is worth.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <random>

#include "cli/commands.hpp"
#include "cli/engine_flags.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "reports/atomic_file.hpp"
#include "suites/selftest.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

Options options() {
  Options options(
      "greta selftest [flags]",
      "Plants every fault of the catalogue in the engine, one at a time, and says whether it was detected, "
      "put "
      "at the right stage\nand called by its name; what the field's usual rules would have seen on the same "
      "runs; and what was said of engines\nwithout faults. Leaves selftest.json and selftest.svg in the "
      "output "
      "directory. Exit code 1 when a fault was missed,\nmisplaced or explained wrongly, or on a false alarm.",
      0, 0);
  options.flag("model,m", "PATH|PRESET", "the model that faults are planted on (default: mini)")
      .flag("quant", "Q", "quantisation of a preset (default: q4_k_m)")
      .flag("seed", "N", "picks the stages that faults strike and all that is random (default: a fresh one)")
      .flag("fault", "F", "only this fault (greta list faults); repeatable", true)
      .flag("every-stage", "", "each cause at every stage that it can break, not at one of them")
      .flag("clean", "N", "no faults: N runs on fresh models, shapes, quantisations and prompts")
      .flag("out,o", "DIR", "output directory (default: runs/selftest)")
      .flag("cache", "DIR",
            "where synthesised models are kept (default: $XDG_CACHE_HOME/greta or ~/.cache/greta)");
  add_device_flag(options);
  add_engine_flags(options);
  return options;
}

std::string model_file(const Given& given, Streams& streams) {
  const std::string model = given.text("model", "mini");
  check_model_name(model);
  if (!is_preset(model)) return model;
  return cached_preset(
      model, given.text("quant", "q4_k_m"), 1, cache_directory(given.text("cache")),
      [&](const std::string& path) { streams.err << "greta selftest: making " << path << std::endl; });
}

}  // namespace

int selftest(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  suites::SelftestOptions how;
  how.seed = given.seed("seed").value_or(std::random_device()());
  how.faults = given.texts("fault");
  how.device = given.text("device", "host");
  how.engine = engine_settings(given);
  how.every_stage = given.has("every-stage");
  how.clean = static_cast<int>(given.number("clean", 1, 1000000).value_or(0));
  const std::string directory = given.text("out", "runs/selftest");
  make_writable(directory, "--out");
  how.scratch_dir = directory + "/scratch";
  make_writable(how.scratch_dir, "--out");
  how.model_path = model_file(given, streams);
  how.progress = [&](const std::string& text) { streams.err << text << std::endl; };
  streams.err << fmt::format("greta selftest: --seed {}\n", how.seed);

  auto result = suites::selftest(how);
  result.command_line = line.whole;
  fs::remove_all(how.scratch_dir);
  reports::write_atomically(directory + "/selftest.json", reports::selftest_json(result));
  reports::write_atomically(directory + "/selftest.svg", reports::selftest_svg(result));
  streams.out << reports::selftest_terminal(result)
              << fmt::format("wrote  {0}/selftest.json\nwrote  {0}/selftest.svg\n", directory);
  switch (result.status()) {
    case probes::Status::pass:
      return static_cast<int>(ExitCode::pass);
    case probes::Status::fail:
      return static_cast<int>(ExitCode::fail);
    case probes::Status::invalid:
      break;
  }
  return static_cast<int>(ExitCode::invalid);
}

}  // namespace greta::cli
