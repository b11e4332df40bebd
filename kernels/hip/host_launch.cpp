#include "kernels/hip/host_launch.hpp"

#include "kernels/hip/host_block.hpp"
#include "kernels/hip/host_state.hpp"

namespace greta::kernels::host {
namespace {

std::string wrong_size(const Launch& launch) {
  const auto text = [](dim3 d) {
    return std::string("(") + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) +
           ")";
  };
  if (launch.grid.count() == 0 || launch.block.count() == 0 || launch.grid.y > 65535 ||
      launch.grid.z > 65535 || launch.grid.x > 0x7fffffffu) {
    return "grid " + text(launch.grid) + " of blocks " + text(launch.block) +
           ": each is at least 1, the grid's x below 2^31, its y and z below 2^16";
  }
  if (launch.block.count() > kMaxLanes) {
    return "blocks of " + std::to_string(launch.block.count()) + " lanes, and a block has at most " +
           std::to_string(kMaxLanes);
  }
  if (launch.shared_bytes > kSharedBytes) {
    return std::to_string(launch.shared_bytes) + " bytes of shared memory, and a block has " +
           std::to_string(kSharedBytes);
  }
  return "";
}

}  // namespace

void enqueue(hipStream_t stream, Launch launch) {
  Device& device = Device::get();
  const Settings settings = device.settings();
  launch.wave = settings.wave;
  launch.order_seed = settings.order_seed;
  const std::string kernel = launch.kernel;
  if (const std::string wrong = wrong_size(launch); !wrong.empty()) {
    device.report(hipErrorInvalidConfiguration, "launch of kernel " + kernel + ": " + wrong);
    return;
  }
  const auto work = [&device, launch = std::move(launch)]() -> std::string {
    std::string failure = device.grid.run(launch);
    std::string damage = device.memory.damage();
    if (!failure.empty() || damage.empty()) return failure;
    return "kernel " + launch.kernel + ": " + damage;
  };
  if (!device.push(stream, {work, {}})) {
    device.report(hipErrorInvalidHandle, "launch of kernel " + kernel + ": the stream does not exist");
  }
}

}  // namespace greta::kernels::host
