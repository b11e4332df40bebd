#include "engine/tap.hpp"

#include <memory>

#include "kernels/hip/checked.hpp"

namespace greta::engine::inline GRETA_MACHINE {

struct TapDelivery::Pending {
  TapDelivery* owner;
  TapRecord record;
};

void TapDelivery::deliver(void* argument) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(argument));
  TapDelivery& self = *pending->owner;
  try {
    {
      const std::lock_guard lock(self.mutex_);
      if (self.failure_) return;
    }
    self.sink_(std::move(pending->record));
  } catch (...) {  // an exception must not cross the runtime: it waits for rethrow()
    const std::lock_guard lock(self.mutex_);
    self.failure_ = std::current_exception();
  }
}

void TapDelivery::send(TapRecord record, std::vector<int64_t> shape, const float* device) {
  auto tensor = std::make_shared<Tensor>(DType::f32, std::move(shape));
  kernels::hip_check(hipMemcpyAsync(tensor->data(), device, tensor->bytes(), hipMemcpyDeviceToHost, stream_),
                     "hipMemcpyAsync of a tap");
  record.tensor = std::move(tensor);
  auto pending = std::make_unique<Pending>(Pending{this, std::move(record)});
  kernels::hip_check(hipLaunchHostFunc(stream_, &TapDelivery::deliver, pending.get()),
                     "hipLaunchHostFunc of a tap");
  pending.release();  // deliver() owns it now
}

void TapDelivery::rethrow() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace greta::engine::inline GRETA_MACHINE
