// What a caller asks of an engine, on whatever machine it runs.
#include "engine/choices.hpp"

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

bool Taps::wants(Stage stage, int layer) const {
  if (!stages.test(static_cast<size_t>(stage))) return false;
  if (layers.empty() || !info(stage).per_layer) return true;
  for (const int wanted : layers)
    if (wanted == layer) return true;
  return false;
}

}  // namespace greta::engine
