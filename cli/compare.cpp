// greta compare: two traces held against each other.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/compare_on_device.hpp"
#include "cli/looks.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "probes/compare_traces.hpp"
#include "reports/terminal.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

Options options() {
  Options options("greta compare A.h5 B.h5 [flags]",
                  "Compares two traces of one model tensor by tensor: the same digest, tokens and positions "
                  "are checked first. In the "
                  "tables A is the\nengine and B the reference; a ratio is the difference over the "
                  "tolerance, which is 0 (every bit) "
                  "unless --tolerance says else.",
                  2, 2);
  options
      .flag("tolerance", "ulp=N|rel=X",
            "values may differ by so many units in the last place of B, or by so much of it")
      .flag("device", "DEVICE", "what compares: host (this processor; the default), hip or hip:N (a card)")
      .flag("arm", "A=B", "compares arm A of the first with arm B of the second; repeatable", true)
      .flag("json", "FILE", "writes the verdicts there, too");
  add_look_flags(options);
  return options;
}

std::map<std::string, std::string> arms_of(const Given& given) {
  std::map<std::string, std::string> arms;
  for (const auto& pair : given.texts("arm")) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size())
      fail_usage("--arm wants A=B, an arm of the first trace and one of the second, not '{}'", pair);
    if (!arms.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
      fail_usage("--arm names '{}' twice", pair.substr(0, equals));
  }
  return arms;
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

reports::RunResult result_of(std::vector<probes::Finding> findings) {
  reports::RunResult result;
  result.findings = std::move(findings);
  std::vector<std::string> arms;
  for (const auto& finding : result.findings) {
    add_once(arms, finding.arm);
    add_once(result.prompts, finding.prompt);
    add_once(result.phases, finding.phase);
    result.layers = std::max(result.layers, finding.layer + 1);
    result.compared += finding.metrics.count > 0;
  }
  for (const auto& arm : arms) {
    reports::ArmResult& verdict = result.arms.emplace_back(reports::ArmResult{.name = arm});
    verdict.status = reports::conclude_arm(result, arm);
  }
  result.planned = static_cast<int64_t>(result.findings.size());
  result.status = reports::conclude(result);
  return result;
}

}  // namespace

int compare(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  auto looks = looks_of(given, streams);
  looks.rest = "--json FILE";
  probes::TraceComparison how{probes::TraceTolerance::parse(given.text("tolerance")), arms_of(given)};
  if (const std::string device = given.text("device", "host"); device != "host")
    how.compare = compare_on({.device = device});
  const TraceReader a(given.positional()[0]), b(given.positional()[1]);
  reports::RunResult result = result_of(probes::compare_traces(a, b, how));
  result.title =
      fmt::format("{} against {} ({})", given.positional()[0], given.positional()[1], how.tolerance.text());
  result.identity = a.identity();
  result.reference =
      fmt::format("{}: {}, greta {}", given.positional()[1], b.identity().device, b.identity().greta_version);
  streams.out << reports::terminal_report(result, looks);
  if (given.has("json")) reports::write_verdicts_json(result, given.text("json"));
  return static_cast<int>(result.exit_code());
}

}  // namespace greta::cli
