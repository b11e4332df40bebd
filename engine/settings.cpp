// What a caller asks of an engine, on whatever machine it runs.
#include <algorithm>

#include "datasets/error.hpp"
#include "engine/choices.hpp"
#include "engine/on_machine.hpp"

namespace greta::engine {

Unit parse_unit(std::string_view name) {
  Settings settings;
  choose(settings, "unit", name);
  return settings.unit;
}

Shape parse_shape(std::string_view name) {
  Settings settings;
  choose(settings, "shape", name);
  return settings.shape;
}

std::string parse_matrix_unit(std::string_view name) {
  Settings settings;
  choose(settings, "matrix_unit", name);
  return settings.matrix_unit;
}

std::vector<std::string> parse_devices(const std::string& list) {
  std::vector<std::string> out;
  if (list == "hip:all") {
    const Cards found = cards();
    if (!found.trouble.empty()) fail_input("device hip:all: {}", found.trouble);
    for (size_t i = 0; i < found.names.size(); ++i) out.push_back("hip:" + std::to_string(i));
    return out;
  }
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    out.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  for (const auto& device : out) {
    if (std::count(out.begin(), out.end(), device) > 1)
      fail_usage("device {} is twice in '{}'; a device runs one case at a time", device, list);
    if (device == "host" && out.size() > 1)
      fail_usage("'{}': the host machine runs alone; name cards only, or host", list);
  }
  return out;
}

bool Taps::wants(Stage stage, int layer) const {
  if (!stages.test(static_cast<size_t>(stage))) return false;
  if (layers.empty() || !info(stage).per_layer) return true;
  for (const int wanted : layers)
    if (wanted == layer) return true;
  return false;
}

}  // namespace greta::engine
