#include "suites/meter.hpp"

#include <algorithm>

namespace greta::suites {

double Meter::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

void Meter::at(std::string prefix) {
  const std::lock_guard lock(mutex_);
  prefix_ = std::move(prefix);
}

void Meter::worked(int64_t work, const std::string& what) {
  const std::lock_guard lock(mutex_);
  work_done_ += work;
  what_ = prefix_ + " " + what;
  report();
}

void Meter::compared(int64_t count) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  report();
}

void Meter::report() {
  if (!callback_) return;
  const double elapsed = seconds();
  const double left = static_cast<double>(std::max<int64_t>(work_ - work_done_, 0));
  const double eta = work_done_ > 0 ? elapsed * left / static_cast<double>(work_done_) : 0;
  callback_({done_, comparisons_, elapsed, eta, what_});
}

}  // namespace greta::suites
