// How far a run is: comparisons made, and a time to go that follows the tokens that the engine still has to
// take.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace greta::suites {

struct Progress {
  int64_t done = 0, total = 0;  // comparisons
  double seconds = 0, eta_seconds = 0;
  std::string what;  // "p6_long/auto decode0"
};
using ProgressCallback = std::function<void(const Progress&)>;

class Meter {
 public:
  Meter(int64_t comparisons, int64_t work, ProgressCallback callback)
      : comparisons_(comparisons), work_(work), callback_(std::move(callback)) {}

  void at(std::string prefix);  // the case that what follows belongs to
  void worked(int64_t work, const std::string& what);
  void compared(int64_t count);
  double seconds() const;

 private:
  void report();  // under the lock, so that the callback runs in one thread at a time

  const int64_t comparisons_, work_;
  const ProgressCallback callback_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  int64_t done_ = 0, work_done_ = 0;
  std::string prefix_, what_;
};

}  // namespace greta::suites
