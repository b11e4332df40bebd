#include "cli/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <vector>

#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "reports/table.hpp"

namespace greta::cli {
namespace {

constexpr std::array<EnvironmentVariable, 9> kKnown = {{
    {kForceRoute, "mfma|valu|auto", "what multiplies, in every arm of a run", true},
    {kForceGemm, "gemm|gemv|auto", "the shape of every matrix product, in every arm of a run", true},
    {kAttnLayer, "N", "the one layer that a run looks at, instead of the suite's layers (-1: the last)",
     true},
    {kAttnHead, "all|0,1,2", "the heads that get figures of their own, in probes with the option heads",
     true},
    {kKeysWindow, "N", "keys_window of every arm: the instrument looks at the first N keys", true},
    {kDimsSample, "N|1/N", "values from the front of each row, in probes with the option dims", true},
    {kPromptId, "ID", "the one prompt of the suite that a run takes", true},
    {"GRETA_TEST_SEED", "N", "the seed of the random tests", false},
    {"GRETA_CLEAN_SEEDS", "N", "how many seeds the test of clean runs takes", false},
}};

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Heads and dims are held to what the probes take when they are put into a suite.
void check_number(std::string_view name, int64_t least, int64_t most) {
  const std::string text = variable(name);
  if (text.empty()) return;
  const auto value = whole_number(text);
  if (!value || *value < least || *value > most)
    fail_usage("{} wants a whole number from {} to {}, not '{}'", name, least, most, text);
}

}  // namespace

std::span<const EnvironmentVariable> known_environment() { return kKnown; }

std::string variable(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value ? value : "";
}

void check_environment() {
  std::vector<std::string> names;
  for (const auto& known : kKnown) names.emplace_back(known.name);
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string name(text.substr(0, text.find('=')));
    if (!name.starts_with("GRETA_") || std::find(names.begin(), names.end(), name) != names.end()) continue;
    throw Error(ExitCode::usage, unknown_name("environment variable", name, names));
  }
  const auto one_of = [](std::string_view name, const std::vector<std::string>& right) {
    if (const auto value = variable(name); !value.empty()) choice(name, value, right);
  };
  one_of(kForceRoute, {"mfma", "valu", "auto"});
  one_of(kForceGemm, {"gemm", "gemv", "auto"});
  constexpr int64_t most = 1'000'000'000;
  check_number(kAttnLayer, -most, most);  // against the model: when there is one
  check_number(kKeysWindow, 1, most);
}

std::string environment_prefix() {
  std::string prefix;
  for (const auto& known : kKnown)
    if (const std::string value = variable(known.name); known.of_runs && !value.empty())
      prefix += fmt::format("{}={} ", known.name, reports::shell_quoted(value));
  return prefix;
}

}  // namespace greta::cli
