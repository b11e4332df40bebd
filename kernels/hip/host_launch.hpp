// Host machine: hipLaunchKernelGGL. The arguments are copied at once, the kernel runs when its turn comes in
// the stream.
#pragma once

#include <memory>
#include <string>
#include <tuple>

#include "kernels/hip/host_types.hpp"

namespace greta::kernels::host {

struct Launch {
  std::string kernel;  // as written at the launch; a copy, since the launch may outlive the caller's
  dim3 grid, block;
  size_t shared_bytes = 0;
  int wave = 64;
  uint64_t order_seed = 0;
  void (*run_lane)(const void* arguments) = nullptr;
  std::shared_ptr<const void> arguments;
};

void enqueue(hipStream_t stream, Launch launch);

template <typename... Params>
struct BoundKernel {
  void (*kernel)(Params...);
  std::tuple<std::decay_t<Params>...> arguments;
};

template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
            hipStream_t stream, const Args&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args),
                "a launch gives each parameter of the kernel one argument");
  using Bound = BoundKernel<Params...>;
  Launch it;
  it.kernel = name;
  it.grid = grid;
  it.block = block;
  it.shared_bytes = shared_bytes;
  it.arguments = std::make_shared<const Bound>(Bound{kernel, {static_cast<std::decay_t<Params>>(args)...}});
  it.run_lane = [](const void* bound) {
    const Bound& b = *static_cast<const Bound*>(bound);
    std::apply(b.kernel, b.arguments);
  };
  enqueue(stream, std::move(it));
}

}  // namespace greta::kernels::host

#define hipLaunchKernelGGL(kernel, ...) ::greta::kernels::host::launch(#kernel, kernel, __VA_ARGS__)
