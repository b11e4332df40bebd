#pragma once

#include <cstdint>

#include "datasets/stage.hpp"

namespace greta::engine {

// Where in the forward pass a launch stands: S rows at the positions start, …, T = start + S in the cache.
struct Site {
  Stage stage;
  int layer;  // -1 outside the layers
  int64_t S, T, start;
};

}  // namespace greta::engine
