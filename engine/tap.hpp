// A tap: an asynchronous copy of a kernel's output to the host, in stream order, and its delivery when the
// copy has finished. Taps add copies to the stream and nothing else: what ran does not change.
#pragma once

#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {

class TapDelivery {
 public:
  TapDelivery(hipStream_t stream, const TapSink& sink) : stream_(stream), sink_(sink) {}

  // Enqueues copy and delivery of `record.tensor`'s shape from device memory.
  void send(TapRecord record, std::vector<int64_t> shape, const float* device);
  // After the stream is synchronised: what a sink threw, if anything.
  void rethrow();

 private:
  struct Pending;
  static void deliver(void* pending);

  hipStream_t stream_;
  const TapSink& sink_;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace greta::engine::inline GRETA_MACHINE
