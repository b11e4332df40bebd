#include "suites/phases.hpp"

#include <charconv>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::suites {

int decode_index(std::string_view name) {
  constexpr std::string_view stem = "decode";
  if (!name.starts_with(stem)) return -1;
  const std::string_view digits = name.substr(stem.size());
  int index = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool canonical =
      error == std::errc() && end == digits.data() + digits.size() && decode_name(index) == name;
  return canonical && index >= 0 ? index : -1;
}

std::string decode_name(int index) { return "decode" + std::to_string(index); }

void check_phase(std::string_view name) {
  if (name == "prefill" || name == "prefill_last" || decode_index(name) >= 0) return;
  const std::vector<std::string> names = {"prefill", "prefill_last", "decode0", "decode1"};
  throw Error(ExitCode::usage, unknown_name("phase", name, names));
}

int order_of_phase(std::string_view name) {
  if (name == "prefill") return 0;
  if (name == "prefill_last") return 1;
  if (const int index = decode_index(name); index >= 0) return index == 0 ? 2 : 3 + index;
  return name == "decode0_stepwise" ? 3 : -1;
}

}  // namespace greta::suites
