// Scratch memory of one launcher, in the order of its stream: there when the launcher's kernels run, given
// back after them. It is the stream's own pool that keeps it, so a launcher that is called again gets it at
// once, and under capture it becomes part of the graph.
#pragma once

#include "kernels/hip/checked.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template <typename T>
class Scratch {
 public:
  Scratch(hipStream_t stream, size_t count) : stream_(stream) {
    keep_freed_memory();
    hip_check(hipMallocAsync(&data_, count * sizeof(T), stream),
              "hipMallocAsync of " + std::to_string(count * sizeof(T)) + " bytes of scratch");
  }
  ~Scratch() { (void)hipFreeAsync(data_, stream_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  hipStream_t stream_;
};

}  // namespace greta::kernels::inline GRETA_MACHINE
