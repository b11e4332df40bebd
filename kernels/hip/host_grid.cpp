#include "kernels/hip/host_grid.hpp"

#include <algorithm>
#include <exception>
#include <numeric>

#include "kernels/hip/host_block.hpp"

namespace greta::kernels::host {

struct Grid::Work {
  const Launch& launch;
  const uint64_t blocks;
  // Block n of the order is block (first + n · stride) mod blocks: a permutation, as stride and blocks share
  // no factor.
  uint64_t first = 0, stride = 1;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  int helpers = 0;  // under the grid's mutex
  std::mutex failure_mutex;
  uint64_t failed_block = ~uint64_t{0};
  std::string failure;

  explicit Work(const Launch& l) : launch(l), blocks(l.grid.count()) {
    if (l.order_seed == 0) return;
    first = blocks - 1;
    stride = blocks - 1;  // reversed
    if (l.order_seed == 1 || blocks < 3) return;
    first = l.order_seed * 0x9e3779b97f4a7c15u % blocks;
    stride = (l.order_seed * 0xbf58476d1ce4e5b9u >> 8) % blocks;
    while (std::gcd(stride, blocks) != 1) stride = (stride + 1) % blocks;
  }
  uint64_t block(uint64_t n) const {
    return static_cast<uint64_t>((first + static_cast<unsigned __int128>(n) * stride) % blocks);
  }
};

namespace {

thread_local const std::atomic<bool>* launch_failed = nullptr;  // of the launch that the thread works at

struct WorksAt {
  explicit WorksAt(const std::atomic<bool>& failed) { launch_failed = &failed; }
  ~WorksAt() { launch_failed = nullptr; }
};

}  // namespace

bool let_others_go_on() {
  if (launch_failed == nullptr || launch_failed->load(std::memory_order_relaxed)) return false;
  std::this_thread::yield();
  return true;
}

Grid::~Grid() { stop(); }

void Grid::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
  helpers_.clear();
  stopping_ = false;
}

void Grid::resize(int threads) {
  if (static_cast<int>(helpers_.size()) == threads - 1) return;
  stop();
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { help(); });
}

std::string Grid::run(const Launch& launch) {
  Work work(launch);
  const bool shared = work.blocks > 1 && !helpers_.empty();
  std::list<Work*>::iterator entry;
  if (shared) {
    {
      std::lock_guard lock(mutex_);
      entry = works_.insert(works_.end(), &work);
    }
    if (work.blocks > helpers_.size()) {
      wake_.notify_all();
    } else {
      for (uint64_t i = 1; i < work.blocks; ++i) wake_.notify_one();
    }
  }
  run_blocks(work);
  if (shared) {
    std::unique_lock lock(mutex_);
    works_.erase(entry);
    left_.wait(lock, [&] { return work.helpers == 0; });
  }
  return std::move(work.failure);
}

void Grid::run_blocks(Work& work) {
  std::string failure;
  uint64_t block = 0;
  const WorksAt works_at(work.failed);
  try {
    BlockRunner& runner = BlockRunner::of_this_thread();
    runner.begin(work.launch);
    for (;;) {
      const uint64_t n = work.next.fetch_add(1, std::memory_order_relaxed);
      if (n >= work.blocks) return;
      block = work.block(n);
      failure = runner.run(block);
      if (!failure.empty()) break;
    }
  } catch (const std::exception& error) {  // no memory for stacks, too much shared memory
    failure = "kernel " + work.launch.kernel + ": " + error.what();
  }
  work.next.store(work.blocks, std::memory_order_relaxed);
  work.failed.store(true, std::memory_order_relaxed);
  std::lock_guard lock(work.failure_mutex);
  if (block < work.failed_block) {
    work.failed_block = block;
    work.failure = std::move(failure);
  }
}

void Grid::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Work* work = nullptr;
    wake_.wait(lock, [&] {
      const auto found = std::find_if(works_.begin(), works_.end(), [](const Work* w) {
        return w->next.load(std::memory_order_relaxed) < w->blocks;
      });
      work = found == works_.end() ? nullptr : *found;
      return stopping_ || work;
    });
    if (stopping_) return;
    ++work->helpers;
    lock.unlock();
    run_blocks(*work);
    lock.lock();
    --work->helpers;
    left_.notify_all();
  }
}

}  // namespace greta::kernels::host
