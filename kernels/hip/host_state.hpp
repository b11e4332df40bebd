// Host machine: the one device of the process. For the host machine's own files only.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/hip/host_grid.hpp"
#include "kernels/hip/host_machine.hpp"
#include "kernels/hip/host_memory.hpp"
#include "kernels/hip/host_stream.hpp"

namespace greta::kernels::host {

class Device {
 public:
  static Device& get();
  ~Device();

  // Puts the task behind what HIP's default stream rules say. False: the handle is no live stream.
  bool push(hipStream_t stream, Stream::Task task, uint64_t* ticket = nullptr);
  std::shared_ptr<Stream> stream(hipStream_t handle);  // the null stream for nullptr; empty for a dead handle
  hipStream_t create_stream(bool blocking);
  bool destroy_stream(hipStream_t handle);
  // Waits for all streams; what failed stays for who synchronises.
  void wait_for_all();
  // Waits for the null stream and all others (only the blocking ones if so asked); the first failure, all
  // being cleared.
  std::string synchronise(bool blocking_only);

  void configure(const Settings& settings);
  Settings settings() const;
  MatrixUnit matrix_unit() const { return matrix_unit_.load(std::memory_order_relaxed); }
  int wave() const { return wave_.load(std::memory_order_relaxed); }

  // Keeps the sentence, and the code for hipGetLastError; returns the code.
  hipError_t report(hipError_t code, std::string sentence);
  std::string last_error() const;

  DeviceMemory memory;
  PinnedMemory pinned;
  Grid grid;

 private:
  Device();
  std::vector<std::shared_ptr<Stream>> all_streams(bool blocking_only);
  mutable std::mutex mutex_;  // settings and the error
  Settings settings_;
  std::string last_error_;
  std::atomic<int> wave_{64};
  std::atomic<MatrixUnit> matrix_unit_{MatrixUnit::ieee};
  std::atomic<bool> lazy_{false};
  std::mutex streams_mutex_;
  std::shared_ptr<Stream> null_;
  std::map<hipStream_t, std::shared_ptr<Stream>> streams_;
};

extern constinit thread_local hipError_t last_code;

}  // namespace greta::kernels::host
