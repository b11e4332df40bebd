#include "cli/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "reports/table.hpp"

namespace greta::cli {
namespace {

constexpr std::array<EnvironmentVariable, 4> kKnown = {{
    {"GRETA_QKV_FORCE_ROUTE", "mfma|valu|auto", "what multiplies, in every arm of a run", true},
    {"GRETA_QKV_FORCE_GEMM", "gemm|gemv|auto", "the shape of every matrix product, in every arm of a run",
     true},
    {"GRETA_TEST_SEED", "N", "the seed of the random tests", false},
    {"GRETA_CLEAN_SEEDS", "N", "how many seeds the test of clean runs takes", false},
}};

std::string value_of(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value ? value : "";
}

}  // namespace

std::span<const EnvironmentVariable> known_environment() { return kKnown; }

std::string forced_unit() { return value_of(kKnown[0].name); }
std::string forced_shape() { return value_of(kKnown[1].name); }

void check_environment() {
  std::vector<std::string> names;
  for (const auto& variable : kKnown) names.emplace_back(variable.name);
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string name(text.substr(0, text.find('=')));
    if (!name.starts_with("GRETA_") || std::find(names.begin(), names.end(), name) != names.end()) continue;
    throw Error(ExitCode::usage, unknown_name("environment variable", name, names));
  }
  if (!forced_unit().empty()) choice(kKnown[0].name, forced_unit(), {"mfma", "valu", "auto"});
  if (!forced_shape().empty()) choice(kKnown[1].name, forced_shape(), {"gemm", "gemv", "auto"});
}

std::string environment_prefix() {
  std::string prefix;
  for (const auto& variable : kKnown)
    if (const std::string value = value_of(variable.name); variable.of_runs && !value.empty())
      prefix += fmt::format("{}={} ", variable.name, reports::shell_quoted(value));
  return prefix;
}

}  // namespace greta::cli
