// Inside reference/: what becomes of a stage's values on their way to memory, as a variant has it.
#pragma once

#include "datasets/message.hpp"
#include "reference/stages.hpp"

namespace greta::reference {

// head_scale: one factor a head, fitted to `output` (as stored) by least squares; its own error, and the
// product's rounding, go into the bounds. Returns why the factors count for nothing: none differs from the
// others by more than their errors. Elements that are not finite take no part.
Message scale_heads(const Request& in, const Matrix& output, Errors& errors);

// The cache as attention reads it: rows in another place, V by column.
Matrix read_cache(const Request& in, bool is_v, Matrix rows);

// Tiles transposed, tail rows never written (NaN, as nothing is known of fresh memory but that); rows of the
// cache in another place.
void store(const Request& in, Errors& errors);

}  // namespace greta::reference
