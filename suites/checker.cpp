#include "suites/checker.hpp"

#include <chrono>
#include <utility>

namespace greta::suites {

Checker::Checker() : thread_([this] { work(); }) {}

Checker::~Checker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void Checker::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
    if (stop_) return;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    running_ = true;
    lock.unlock();
    const auto begin = std::chrono::steady_clock::now();
    std::exception_ptr error;
    try {
      task();
    } catch (...) {
      error = std::current_exception();
    }
    task = nullptr;  // what it held goes before anybody who waits goes on
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    lock.lock();
    running_ = false;
    busy_seconds_ += seconds;
    if (error && !error_) {
      error_ = error;
      tasks_.clear();
    }
    changed_.notify_all();
  }
}

void Checker::rethrow() {
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Checker::submit(std::function<void()> task, size_t backlog) {
  std::unique_lock lock(mutex_);
  if (backlog > 0) changed_.wait(lock, [&] { return error_ || tasks_.size() < backlog; });
  rethrow();
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Checker::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return tasks_.empty() && !running_; });
  rethrow();
}

void Checker::abandon() {
  std::unique_lock lock(mutex_);
  tasks_.clear();
  changed_.wait(lock, [&] { return !running_; });
  error_ = nullptr;
}

double Checker::busy_seconds() const {
  const std::lock_guard lock(mutex_);
  return busy_seconds_;
}

}  // namespace greta::suites
