#include "suites/share_out.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace greta::suites {
namespace {

class Queue {
 public:
  Queue(size_t tasks, const std::function<void(size_t)>& finished)
      : finished_(finished), done_(tasks, false) {}

  void serve(size_t worker, const std::function<void(size_t, size_t)>& work) {
    std::unique_lock lock(mutex_);
    while (!error_ && next_ < done_.size()) {
      const size_t task = next_++;
      lock.unlock();
      std::exception_ptr error;
      try {
        work(worker, task);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      note(error);
      done_[task] = true;
      report(lock);
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void note(std::exception_ptr error) {
    if (error && !error_) error_ = error;
  }

  // One worker at a time, and the others go on: what they do meanwhile is reported by that one. Tasks begin
  // in order, so all before one that is done will be done.
  void report(std::unique_lock<std::mutex>& lock) {
    if (reporting_) return;
    reporting_ = true;
    for (; reported_ < done_.size() && done_[reported_]; ++reported_) {
      lock.unlock();
      std::exception_ptr error;
      try {
        finished_(reported_);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      note(error);
    }
    reporting_ = false;
  }

  const std::function<void(size_t)>& finished_;
  std::mutex mutex_;
  std::vector<bool> done_;
  size_t next_ = 0;
  size_t reported_ = 0;  // of whoever is reporting
  bool reporting_ = false;
  std::exception_ptr error_;
};

}  // namespace

void share_out(size_t workers, size_t tasks, const std::function<void(size_t, size_t)>& work,
               const std::function<void(size_t)>& finished) {
  Queue queue(tasks, finished);
  std::vector<std::jthread> others;
  for (size_t worker = 1; worker < std::min(workers, tasks); ++worker)
    others.emplace_back([&queue, &work, worker] { queue.serve(worker, work); });
  queue.serve(0, work);
  others.clear();
  queue.rethrow();
}

}  // namespace greta::suites
