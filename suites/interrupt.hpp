// SIGINT and SIGTERM during a run: the first asks it to end cleanly, a second one ends the process as usual.
#pragma once

#include <signal.h>

#include <stdexcept>
#include <string>

namespace greta::suites {

struct Interrupted : std::runtime_error {
  explicit Interrupted(const std::string& by) : std::runtime_error("interrupted by " + by), signal(by) {}
  std::string signal;  // "SIGINT"
};

// Handles the two signals (and ignores SIGXFSZ) while it lives, then puts the old handlers back.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  static void check();  // throws Interrupted after a signal

 private:
  struct sigaction old_int_, old_term_, old_size_;
};

}  // namespace greta::suites
