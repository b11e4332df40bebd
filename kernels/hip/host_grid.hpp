// Host machine: the blocks of a launch over threads. The calling thread works, too; helpers join when they
// wake and are waited for only if they did, so that a small launch costs no wake-up.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/hip/host_launch.hpp"

namespace greta::kernels::host {

class Grid {
 public:
  Grid() = default;
  ~Grid();
  // Threads that run blocks, the caller's included. Not while launches run.
  void resize(int threads);
  // Runs every block; the failure of the lowest block that failed, or "". Callable from several threads at
  // once.
  std::string run(const Launch& launch);

 private:
  struct Work;
  static void run_blocks(Work& work);
  void help();
  void stop();

  std::mutex mutex_;
  std::condition_variable wake_, left_;
  std::list<Work*> works_;
  std::vector<std::thread> helpers_;
  bool stopping_ = false;
};

}  // namespace greta::kernels::host
