// A captured graph: what was enqueued once, launched again as a whole and without the cost of its launches.
// Cards have it; the host machine runs each launch when it comes, and says so.
#pragma once

#include <utility>

#include "kernels/hip/checked.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

class Graph {
 public:
#if defined(GRETA_HIP_HOST)
  static constexpr bool kAvailable = false;
  template <typename Enqueue>
  void capture(hipStream_t, Enqueue&&) {
    throw HipError(hipErrorInvalidValue, "the host machine captures no graphs");
  }
  void launch(hipStream_t) const { throw HipError(hipErrorInvalidValue, "there is no graph to launch"); }
  explicit operator bool() const { return false; }
#else
  static constexpr bool kAvailable = true;
  Graph() = default;
  ~Graph() { release(); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // `enqueue` launches kernels into the stream, which none of them reaches; it neither allocates nor waits.
  template <typename Enqueue>
  void capture(hipStream_t stream, Enqueue&& enqueue) {
    release();
    hip_check(hipStreamBeginCapture(stream, hipStreamCaptureModeThreadLocal), "hipStreamBeginCapture");
    hipGraph_t graph = nullptr;
    try {
      enqueue();
    } catch (...) {
      (void)hipStreamEndCapture(stream, &graph);
      if (graph) (void)hipGraphDestroy(graph);
      (void)hipGetLastError();
      throw;
    }
    hip_check(hipStreamEndCapture(stream, &graph), "hipStreamEndCapture");
    const hipError_t code = hipGraphInstantiate(&exec_, graph, nullptr, nullptr, 0);
    (void)hipGraphDestroy(graph);
    hip_check(code, "hipGraphInstantiate");
  }
  void launch(hipStream_t stream) const { hip_check(hipGraphLaunch(exec_, stream), "hipGraphLaunch"); }
  explicit operator bool() const { return exec_ != nullptr; }

 private:
  void release() {
    if (hipGraphExec_t old = std::exchange(exec_, nullptr)) (void)hipGraphExecDestroy(old);
  }
  hipGraphExec_t exec_ = nullptr;
#endif
};

}  // namespace greta::kernels::inline GRETA_MACHINE
