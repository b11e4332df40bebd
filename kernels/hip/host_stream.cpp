#include "kernels/hip/host_stream.hpp"

#include <algorithm>
#include <utility>

namespace greta::kernels::host {

Stream::Stream(bool blocking, const std::atomic<bool>& lazy)
    : blocking_(blocking), lazy_(lazy), thread_([this] { run(); }) {}

Stream::~Stream() { finish(); }

void Stream::finish() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    demanded_ = pushed_;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
}

uint64_t Stream::push(Task task) {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    ticket = ++pushed_;
  }
  work_.notify_one();
  return ticket;
}

uint64_t Stream::last() const {
  std::lock_guard lock(mutex_);
  return pushed_;
}

bool Stream::done(uint64_t ticket) {
  {
    std::lock_guard lock(mutex_);
    if (done_ >= ticket) return true;
    demanded_ = std::max(demanded_, ticket);
  }
  work_.notify_one();
  return false;
}

void Stream::wait(uint64_t ticket) {
  if (done(ticket)) return;
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [&] { return done_ >= ticket; });
}

std::string Stream::take_failure() {
  std::lock_guard lock(mutex_);
  return std::exchange(failure_, std::string());
}

void Stream::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return tasks_.empty() ? ending_ : !lazy_ || demanded_ > done_; });
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    const bool leave_out = !failure_.empty() && !task.even_after_failure;
    lock.unlock();
    for (const After& after : task.after) after.stream->wait(after.ticket);
    std::string failure;
    if (!leave_out) failure = task.work();
    task = {};  // what it holds is released before anyone is told
    lock.lock();
    if (failure_.empty()) failure_ = std::move(failure);
    ++done_;
    progress_.notify_all();
  }
}

}  // namespace greta::kernels::host
