// greta accept: the acceptance report of a fix, from a run before it and a run after it.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/looks.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "reports/acceptance.hpp"
#include "reports/atomic_file.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;
using reports::Language;

constexpr const char* kFiles[] = {"acceptance.md", "acceptance.es.md", "acceptance.json"};

Options options() {
  Options options(
      "greta accept --before A --after B [-o DIR] [--lang en|es|both]",
      "Holds the findings after a fix against those before it, place by place: each bar before and after, "
      "what got "
      "better and what got\nworse, and whether the fix is accepted: everything passes after, in every place "
      "that "
      "was judged before. A and B are RUN or RUN:ARM\n(RUN: a run's directory, or its verdicts.json; ARM: "
      "where the "
      "run has more than one). The exit code is 0 when it is accepted, 1 when it\nis refused, 4 when the two "
      "cannot be held against each other. Writes acceptance.md, acceptance.es.md and acceptance.json.",
      0, 0);
  options.flag("before", "RUN[:ARM]", "what was wrong")
      .flag("after", "RUN[:ARM]", "what is to be accepted")
      .flag("out,o", "DIR", "output directory (default: runs/acceptance-TIME)")
      .flag("force,f", "", "overwrite an acceptance that is in the output directory")
      .flag("lang", "en|es|both", "of the reports (default both; the terminal's is the first)")
      .flag("color", "auto|always|never", "colours (default auto: on a terminal, unless NO_COLOR is set)");
  return options;
}

std::string verdicts_of(const std::string& run) {
  return fs::is_directory(run) ? (fs::path(run) / "verdicts.json").string() : run;
}

// "runs/a:baseline". A path may have colons of its own: it is a run when it is there.
reports::AcceptanceSide side_of(const std::string& flag, const std::string& given) {
  const auto colon = given.rfind(':');
  const bool whole = colon == std::string::npos || fs::exists(given);
  const std::string run = whole ? given : given.substr(0, colon);
  reports::AcceptanceSide side{.given = given, .run = reports::read_verdicts_json(verdicts_of(run))};
  std::vector<std::string> arms;
  for (const auto& arm : side.run.arms) arms.push_back(arm.name);
  if (whole) {
    if (arms.size() == 1) side.arm = arms.front();
    return side;
  }
  side.arm = given.substr(colon + 1);
  if (std::find(arms.begin(), arms.end(), side.arm) == arms.end())
    throw Error(ExitCode::usage, unknown_name(fmt::format("arm of {} in --{}", run, flag), side.arm, arms));
  return side;
}

// One arm can be held against one arm, and a run of many against a run of many.
void check_arms(const std::string& flag, const reports::AcceptanceSide& side,
                const reports::AcceptanceSide& other) {
  if (!side.arm.empty() || other.arm.empty()) return;
  std::vector<std::string> arms;
  for (const auto& arm : side.run.arms) arms.push_back(arm.name);
  fail_usage("--{}: {} has {} arms; say which: {}:ARM ({})", flag, side.given, arms.size(), side.given,
             fmt::join(arms, ", "));
}

std::string default_directory() {
  const std::time_t now = std::time(nullptr);
  char stamp[32];
  std::tm utc{};
  std::strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
  return fmt::format("runs/acceptance-{}", stamp);
}

void prepare(const std::string& directory, bool force) {
  for (const char* name : kFiles)
    if (fs::exists(fs::path(directory) / name) && !force)
      fail_usage(
          "'{}' holds an acceptance already ({}); choose another directory with --out, or overwrite it with "
          "--force",
          directory, name);
  make_writable(directory, "--out");
  for (const char* name : kFiles) fs::remove(fs::path(directory) / name);
}

}  // namespace

int accept(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  for (const char* flag : {"before", "after"})
    if (!given.has(flag)) fail_usage("--{} is missing; usage: greta accept --before A --after B", flag);
  const std::string lang = given.one_of("lang", {"en", "es", "both"}, "both");
  const auto looks = looks_of(given, streams);
  auto before = side_of("before", given.text("before")), after = side_of("after", given.text("after"));
  check_arms("before", before, after);
  check_arms("after", after, before);
  if (before.arm == after.arm &&
      reports::to_verdicts_json(before.run) == reports::to_verdicts_json(after.run))
    fail_usage("--before and --after are the same arm of the same run");
  const std::string out = given.text("out", default_directory());
  prepare(out, given.has("force"));

  const reports::Acceptance acceptance = reports::accept(std::move(before), std::move(after));
  const Language first = lang == "es" ? Language::spanish : Language::english;
  streams.out << reports::acceptance_terminal(acceptance, first, looks.colours) << "\n";
  const auto write = [&](const char* name, const std::string& text) {
    reports::write_atomically(out + "/" + name, text);
    streams.out << fmt::format("wrote  {}/{}\n", out, name);
  };
  if (lang != "es") write("acceptance.md", reports::acceptance_markdown(acceptance, Language::english));
  if (lang != "en") write("acceptance.es.md", reports::acceptance_markdown(acceptance, Language::spanish));
  write("acceptance.json", reports::acceptance_json(acceptance));
  return static_cast<int>(acceptance.exit_code());
}

}  // namespace greta::cli
