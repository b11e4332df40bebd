// Which of the four matrix-product routes runs: forced by settings, or chosen by the number of rows.
#pragma once

#include <cstdint>

#include "engine/engine.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {

// From this many rows on, half of a 16-row matrix-core tile is filled.
inline constexpr int64_t kRowsForTiles = 8;

kernels::Route choose_route(Unit unit, Shape shape, int64_t rows);

}  // namespace greta::engine::inline GRETA_MACHINE
