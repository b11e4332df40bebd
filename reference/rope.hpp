// RoPE's angles as a contract declares them.
#pragma once

#include <vector>

#include "reference/reference.hpp"

namespace greta::reference {

// Sine and cosine of an angle, and how far the kernel's own angle may be from it, absolute.
struct Turn {
  double sine, cosine, error;
};

// [S, rope_dims/2], row-major, for the positions start, start + 1, …
std::vector<Turn> rope_turns(const Config& config, const Contract& contract, int start, int64_t S);

}  // namespace greta::reference
