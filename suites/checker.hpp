// One thread that checks while the engine goes on: tasks run in the order in which they came.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace greta::suites {

class Checker {
 public:
  Checker();
  ~Checker();  // drops what has not begun
  Checker(const Checker&) = delete;

  // Blocks while more than `backlog` tasks wait (0: never). Rethrows what an earlier task threw.
  void submit(std::function<void()> task, size_t backlog = 0);
  void drain();    // returns when all is done; rethrows what a task threw
  void abandon();  // drops what has not begun, waits for the task that runs, forgets its error
  double busy_seconds() const;

 private:
  void work();
  void rethrow();  // under the lock

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool running_ = false, stop_ = false;
  std::exception_ptr error_;
  double busy_seconds_ = 0;
  std::thread thread_;
};

}  // namespace greta::suites
