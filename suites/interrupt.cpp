#include "suites/interrupt.hpp"

namespace greta::suites {
namespace {

volatile sig_atomic_t received = 0;
extern "C" void on_signal(int number) { received = number; }

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second signal acts as if we were not here
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
  struct sigaction ignore {};
  ignore.sa_handler =
      SIG_IGN;  // a file that outgrows its limit is a failed write, not the end of the process
  sigaction(SIGXFSZ, &ignore, &old_size_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
  sigaction(SIGXFSZ, &old_size_, nullptr);
}

void InterruptGuard::check() {
  if (received == SIGINT) throw Interrupted("SIGINT");
  if (received == SIGTERM) throw Interrupted("SIGTERM");
}

}  // namespace greta::suites
