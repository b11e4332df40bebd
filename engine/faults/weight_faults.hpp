// Faults of the loader: the packed bytes of a weight changed so that the kernels, which unpack rightly,
// compute with what a wrong unpacking would have given; where no bytes can say that, the weight as f32.
#pragma once

#include <span>

#include "engine/faults/fault.hpp"
#include "engine/weights.hpp"

namespace greta::engine::inline GRETA_MACHINE {

// Changes every weight that a fault strikes. Norm weights are left alone. Returns how many were changed.
int spoil_weights(Weights&, std::span<const Fault> faults);

}  // namespace greta::engine::inline GRETA_MACHINE
