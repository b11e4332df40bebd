// How far a run is: one line that is drawn over itself on a terminal, plain lines at intervals elsewhere (CI
// keeps every line).
#pragma once

#include <cstdint>
#include <string>

namespace greta::reports {

struct ProgressState {
  int64_t done = 0, total = 0;          // comparisons
  double seconds = 0, eta_seconds = 0;  // since the start; until the end, negative: not known yet
  std::string what;                     // "p6_long/auto decode0 layer 3"
};

class ProgressLine {
 public:
  // `width`: columns of the terminal; the line is cut to it.
  ProgressLine(bool on_terminal, int width);
  // What to print now, often empty: at most 10 times a second on a terminal, every 10 s elsewhere.
  std::string update(const ProgressState& state);
  std::string finish();  // clears the line on a terminal

 private:
  bool on_terminal_;
  int width_;
  double next_seconds_ = 0;
  bool drawn_ = false;
};

}  // namespace greta::reports
