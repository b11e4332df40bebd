#include "reports/progress.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "reports/table.hpp"

namespace greta::reports {
namespace {

constexpr double kTerminalInterval = 0.1, kPlainInterval = 10;  // seconds

// The first `columns` characters, without cutting through one.
std::string cut(const std::string& utf8, int columns) {
  int seen = 0;
  for (size_t i = 0; i < utf8.size(); ++i) {
    const bool starts = (static_cast<unsigned char>(utf8[i]) & 0xC0) != 0x80;
    if (starts && seen++ == columns) return utf8.substr(0, i);
  }
  return utf8;
}

}  // namespace

ProgressLine::ProgressLine(bool on_terminal, int width)
    : on_terminal_(on_terminal), width_(std::max(width, 20)) {}

std::string ProgressLine::update(const ProgressState& state) {
  if (state.seconds < next_seconds_) return {};
  next_seconds_ = state.seconds + (on_terminal_ ? kTerminalInterval : kPlainInterval);
  const double share =
      state.total > 0 ? 100.0 * static_cast<double>(state.done) / static_cast<double>(state.total) : 0;
  std::string line = fmt::format("{:3.0f} %  {} of {}  {}", share, grouped(state.done), grouped(state.total),
                                 duration(state.seconds));
  if (state.eta_seconds >= 0 && state.done > 0) line += ", " + duration(state.eta_seconds) + " left";
  line += "  " + state.what;
  if (!on_terminal_) return line + "\n";
  drawn_ = true;
  return "\r\x1b[K" + cut(line, width_ - 1);
}

std::string ProgressLine::finish() {
  if (!drawn_) return {};
  drawn_ = false;
  return "\r\x1b[K";
}

}  // namespace greta::reports
