// Host machine: a stream, an in-order queue with a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/hip/host_types.hpp"

namespace greta::kernels::host {

class Stream {
 public:
  using Work = std::function<std::string()>;  // what went wrong as a sentence, or ""
  struct After {
    std::shared_ptr<Stream> stream;
    uint64_t ticket;
  };
  struct Task {
    Work work;
    std::vector<After> after;
    bool even_after_failure = false;
  };

  // While `lazy`, tasks run only as far as someone has waited for them.
  Stream(bool blocking, const std::atomic<bool>& lazy);
  ~Stream();
  bool blocking() const { return blocking_; }

  // Tickets count tasks from 1.
  uint64_t push(Task task);
  uint64_t last() const;
  bool done(uint64_t ticket);
  void wait(uint64_t ticket);
  // The failure since the last call, or "".
  std::string take_failure();
  // Runs what is queued, then ends the thread.
  void finish();

 private:
  void run();

  const bool blocking_;
  const std::atomic<bool>& lazy_;
  mutable std::mutex mutex_;
  std::condition_variable work_, progress_;
  std::deque<Task> tasks_;
  uint64_t pushed_ = 0, done_ = 0, demanded_ = 0;
  bool ending_ = false;
  std::string failure_;
  std::thread thread_;
};

// A place in a stream and when it was passed.
struct Mark {
  std::shared_ptr<Stream> stream;
  uint64_t ticket = 0;
  std::chrono::steady_clock::time_point time;
};

struct Event {
  std::mutex mutex;
  std::shared_ptr<Mark> mark;  // of the last record
};

}  // namespace greta::kernels::host
