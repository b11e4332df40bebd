#include "suites/share_out.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

namespace greta::suites {
namespace {

class Queue {
 public:
  Queue(size_t workers, const std::vector<size_t>& groups, const std::function<void(size_t)>& finished)
      : finished_(finished), groups_(groups), states_(groups.size(), State::waits), held_(workers) {}

  void serve(size_t worker, const std::function<void(size_t, size_t)>& work) {
    std::unique_lock lock(mutex_);
    while (const auto task = error_ ? std::nullopt : next_of(worker)) {
      states_[*task] = State::runs;
      held_[worker] = groups_[*task];
      lock.unlock();
      std::exception_ptr error;
      try {
        work(worker, *task);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      note(error);
      states_[*task] = State::done;
      report(lock);
    }
    held_[worker].reset();
  }

  // When all have served: after an error tasks have not begun, and what lies behind them is still to be told.
  void finish() {
    std::unique_lock lock(mutex_);
    for (auto& state : states_)
      if (state == State::waits) state = State::never;
    report(lock);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  enum class State { waits, runs, done, never };

  void note(std::exception_ptr error) {
    if (error && !error_) error_ = error;
  }

  template <typename Wanted>
  std::optional<size_t> first(Wanted&& wanted) const {
    for (size_t task = 0; task < states_.size(); ++task)
      if (states_[task] == State::waits && wanted(groups_[task])) return task;
    return std::nullopt;
  }
  std::optional<size_t> next_of(size_t worker) const {
    if (const auto own = first([&](size_t group) { return held_[worker] == group; })) return own;
    const auto held = [&](size_t group) {
      return std::find(held_.begin(), held_.end(), group) != held_.end();
    };
    if (const auto fresh = first([&](size_t group) { return !held(group); })) return fresh;
    return first([](size_t) { return true; });
  }

  // One worker at a time; what the others end meanwhile is told by that one.
  void report(std::unique_lock<std::mutex>& lock) {
    if (reporting_) return;
    reporting_ = true;
    for (; told_ < states_.size() && states_[told_] >= State::done; ++told_) {
      if (states_[told_] == State::never) continue;
      lock.unlock();
      std::exception_ptr error;
      try {
        finished_(told_);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      note(error);
    }
    reporting_ = false;
  }

  const std::function<void(size_t)>& finished_;
  const std::vector<size_t>& groups_;
  std::mutex mutex_;
  std::vector<State> states_;
  std::vector<std::optional<size_t>> held_;  // a worker's group
  size_t told_ = 0;                          // tasks; of whoever is reporting
  bool reporting_ = false;
  std::exception_ptr error_;
};

}  // namespace

void share_out(size_t workers, const std::vector<size_t>& group_of_task,
               const std::function<void(size_t, size_t)>& work, const std::function<void(size_t)>& finished) {
  Queue queue(workers, group_of_task, finished);
  std::vector<std::jthread> others;
  for (size_t worker = 1; worker < std::min(workers, group_of_task.size()); ++worker)
    others.emplace_back([&queue, &work, worker] { queue.serve(worker, work); });
  queue.serve(0, work);
  others.clear();
  queue.finish();
}

}  // namespace greta::suites
