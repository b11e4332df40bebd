// P·V from the V that was written, over all keys or over some of them: what an instrument that looks at a
// window of keys makes of a tensor that is right.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "probes/probe.hpp"

namespace greta::probes {

// Columns of a tensor [rows, …].
struct Columns {
  int64_t begin, count;
};
Metrics against(std::span<const float> actual, const reference::Bounded& bounded, Columns part);

// Keys [begin, end) of those in the cache.
struct Keys {
  int64_t begin = 0, end = std::numeric_limits<int64_t>::max();
};
// pv, or attn_out, from the engine's softmax weights of these keys (those of the others taken for 0) and the
// V rows that were written to the cache.
reference::Bounded from_written(const LayerView& at, Stage stage, Keys keys);

// What the evidence's keys_window does to a stage. Adds the figures of the window beside those of the whole;
// where the window leaves out keys that matter, and the whole is right, the finding is INVALID: the
// instrument makes the difference, which is shown by its residual being what those keys contribute. A tensor
// that is wrong as a whole is the engine's affair and stays as it is.
struct WindowCheck {
  const LayerView& at;
  Stage stage;
  std::string mae;  // the figure's name
  void run(const reference::Bounded& whole, const std::vector<int64_t>& heads, Finding& finding) const;
};

// Figures by which the control `window` knows a comparison in a window, and one that left something out.
inline constexpr std::string_view kWindow = "window", kKeysLeftOut = "keys_left_out";

}  // namespace greta::probes
