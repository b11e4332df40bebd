#include "engine/choices.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::engine {
namespace {

// Enumerators stand in the order of a row's values.
template <auto Member>
void set(Settings& settings, size_t value) {
  using T = std::remove_reference_t<decltype(settings.*Member)>;
  settings.*Member = static_cast<T>(value);
}

std::vector<std::string> split(std::string_view values) {
  std::vector<std::string> out;
  while (!values.empty()) {
    const auto bar = values.find('|');
    out.emplace_back(values.substr(0, bar));
    values = bar == std::string_view::npos ? std::string_view() : values.substr(bar + 1);
  }
  return out;
}

constexpr std::string_view kMatrixUnits = "ieee|cdna2|cdna3|hopper";

constexpr std::array<Choice, 9> kChoices = {{
    {"unit", "auto|valu|mfma", "what multiplies: vector units, or matrix cores", set<&Settings::unit>},
    {"shape", "auto|gemm|gemv", "tiles for many rows, or a row at a time", set<&Settings::shape>},
    {"operand", "f16|bf16", "what a matrix core multiplies", set<&Settings::operand>},
    {"tuning", "auto|plain|wide", "kernels as the host machine likes them, or as cards do",
     set<&Settings::tuning>},
    {"attention", "unfused|fused",
     "three kernels with qk, softmax and pv between them, or one without: these stages are not there then",
     set<&Settings::attention>},
    {"kv", "f32|f16|bf16", "what the KV cache holds", set<&Settings::kv>},
    {"fusion", "auto|off|on",
     "calls of one row: a kernel for several stages (auto: on a card, where no fault is planted)",
     set<&Settings::fusion>},
    {"graph", "auto|off|on",
     "calls of one row without taps: a captured graph (auto: on a card, with fused kernels and attention)",
     set<&Settings::graph>},
    {"matrix_unit", kMatrixUnits, "host machine: whose rounding its matrix cores have",
     [](Settings& settings, size_t value) { settings.matrix_unit = split(kMatrixUnits)[value]; }},
}};

}  // namespace

std::span<const Choice> choices() { return kChoices; }

const Choice& find_choice(std::string_view name) {
  std::vector<std::string> names;
  for (const Choice& choice : kChoices) {
    if (choice.name == name) return choice;
    names.emplace_back(choice.name);
  }
  throw Error(ExitCode::usage, unknown_name("setting", name, names));
}

void choose(Settings& settings, std::string_view name, std::string_view value) {
  const Choice& choice = find_choice(name);
  const auto values = split(choice.values);
  const auto found = std::find(values.begin(), values.end(), value);
  if (found == values.end()) throw Error(ExitCode::usage, unknown_name(name, value, values));
  choice.set(settings, static_cast<size_t>(found - values.begin()));
}

}  // namespace greta::engine
