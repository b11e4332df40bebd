// SIGINT and SIGTERM during a run: the first asks it to end cleanly, a second one ends the process as usual.
#pragma once

#include <signal.h>

#include <stdexcept>

namespace greta::suites {

struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
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
