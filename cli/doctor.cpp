// greta doctor: what this machine is, and whether the main job can run on it.
#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <Eigen/Core>
#include <filesystem>
#include <ostream>
#include <thread>

#include "cli/commands.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "cli/self_check.hpp"
#include "cli/suite_files.hpp"
#include "datasets/error.hpp"
#include "engine/on_machine.hpp"
#include "reference/reference.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kNeededGiB = 1;  // memory, and disk for the trace of the main job

class Examination {
 public:
  explicit Examination(std::ostream& out) : out_(out) {}
  void report(std::string_view what, const std::string& value) {
    out_ << fmt::format("  {:<12} {}\n", what, value);
  }
  // `problem` empty: well.
  void check(std::string_view what, const std::string& value, const std::string& problem) {
    report(what, problem.empty() ? value + ": ok" : fmt::format("{}: PROBLEM: {}", value, problem));
    healthy_ = healthy_ && problem.empty();
  }
  bool healthy() const { return healthy_; }

 private:
  std::ostream& out_;
  bool healthy_ = true;
};

double memory_gib(int name) {
  return static_cast<double>(sysconf(name)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / kGiB;
}

// The nearest directory that exists, since the cache may not have been made yet.
void check_disk(Examination& doctor, std::string_view what, const std::string& directory) {
  fs::path place = fs::absolute(directory);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  std::error_code problem;
  const double free = static_cast<double>(fs::space(place, problem).available) / kGiB;
  if (problem) return doctor.check(what, directory, problem.message());
  const bool writable = ::access(place.c_str(), W_OK | X_OK) == 0;
  doctor.check(what, fmt::format("{}, {:.1f} GiB free", directory, free),
               !writable           ? "it cannot be written"
               : free < kNeededGiB ? fmt::format("the main job wants {} GiB", kNeededGiB)
                                   : "");
}

void check_cache(Examination& doctor) {
  try {
    check_disk(doctor, "cache", cache_directory(""));
  } catch (const Error& error) {
    doctor.check("cache", "none", error.what());
  }
}

// A card is no condition of the main job: without one the host machine runs the kernels.
void report_machines(Examination& doctor) {
  const engine::Cards cards = engine::cards();
  doctor.report("machines", cards.backend.empty() ? "the host machine (kernels run on the CPU)"
                                                  : "the host machine, " + cards.backend + " cards");
  for (size_t i = 0; i < cards.names.size(); ++i) doctor.report(fmt::format("hip:{}", i), cards.names[i]);
  if (!cards.trouble.empty()) doctor.report("hip", cards.trouble);
}

}  // namespace

int doctor(const CommandLine& line, Streams& streams) {
  const Options flags("greta doctor",
                      "What this machine is; exit code 0 when the main job (`greta run`) can run on it.", 0,
                      0);
  if (flags.parse(line.arguments).has("help")) {
    streams.out << flags.help();
    return 0;
  }
  Examination doctor(streams.out);
  streams.out << fmt::format("greta {} ({})\n", GRETA_VERSION, GRETA_BUILD);
  report_machines(doctor);
  doctor.report("cores", std::to_string(std::thread::hardware_concurrency()));
  const double total = memory_gib(_SC_PHYS_PAGES);
  doctor.check("memory",
               fmt::format("{:.1f} GiB, {:.1f} GiB of them free", total, memory_gib(_SC_AVPHYS_PAGES)),
               total < kNeededGiB ? fmt::format("the main job wants {} GiB", kNeededGiB) : "");
  doctor.report("reference", reference::instruction_sets());
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  doctor.report("libraries", fmt::format("HDF5 {}.{}.{}, Eigen {}.{}.{}", major, minor, release,
                                         EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION));
  check_cache(doctor);
  check_disk(doctor, "here", fs::current_path());
  doctor.check("suites", fmt::format("{} by name", installed_suites().size()),
               installed_suites().empty() ? "no suites folder was found" : "");
  for (const int wave : {64, 32})
    doctor.check("self-check", fmt::format("a kernel with a barrier, wave {}", wave),
                 check_barrier_kernel(wave));
  streams.out << (doctor.healthy() ? "the main job can run: greta run\n"
                                   : "the main job cannot run here: see PROBLEM above\n");
  return static_cast<int>(doctor.healthy() ? ExitCode::pass : ExitCode::invalid);
}

}  // namespace greta::cli
