// The text of `greta trace inspect FILE`: who ran what, whether the trace is complete, and what it holds.
#pragma once

#include <string>
#include <string_view>

#include "datasets/trace.hpp"

namespace greta {

// `filter`: only tensors whose path contains it (empty: all); with one, each tensor has a line of its own
// with its shape, type, window, kernel and contract. Without one, a line per stage and shape. Error (usage)
// when the filter matches nothing.
std::string inspect_trace(const TraceReader& trace, std::string_view filter = {});

}  // namespace greta
