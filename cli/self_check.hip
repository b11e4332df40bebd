#include "cli/self_check.hpp"

#include <numeric>
#include <vector>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/hip.hpp"

namespace greta::cli {
namespace {

constexpr int kLanes = 256;

// Every lane reads what a lane of another wave wrote: wrong without the barrier, in any order of the lanes.
__global__ void mirror(const int* in, int* out) {
  GRETA_SHARED(int, shared, kLanes);
  const int lane = static_cast<int>(threadIdx.x);
  shared[lane] = in[lane];
  __syncthreads();
  out[lane] = shared[kLanes - 1 - lane];
}

}  // namespace

std::string check_barrier_kernel(int wave) {
  try {
#ifdef GRETA_HIP_HOST
    kernels::host::Settings settings = kernels::host::settings();
    settings.wave = wave;
    kernels::host::configure(settings);
#else
    (void)wave;
#endif
    std::vector<int> in(kLanes);
    std::iota(in.begin(), in.end(), 1000);
    const kernels::DeviceBuffer<int> device_in(in), device_out(kLanes);
    hipLaunchKernelGGL(mirror, 1, kLanes, 0, nullptr, device_in.data(), device_out.data());
    kernels::hip_check_launch("mirror");
    const std::vector<int> out = device_out.download();
    for (int lane = 0; lane < kLanes; ++lane)
      if (out[lane] != in[kLanes - 1 - lane])
        return "lane " + std::to_string(lane) + " read " + std::to_string(out[lane]) + ", not " +
               std::to_string(in[kLanes - 1 - lane]);
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace greta::cli
