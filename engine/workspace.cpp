#include "engine/forward.hpp"

namespace greta::engine::inline GRETA_MACHINE {
namespace {

// Freeing waits for whatever still uses the old one.
template <typename Buffer>
void grow(Buffer& buffer, int64_t size, int& growths) {
  if (static_cast<int64_t>(buffer.size()) >= size) return;
  buffer = {};
  buffer = Buffer(static_cast<size_t>(size));
  ++growths;
}

}  // namespace

float* Workspace::output(Stage stage, int64_t floats) {
  Floats& buffer = outputs[static_cast<size_t>(stage)];
  grow(buffer, floats, growths);
  return buffer.data();
}

float* Workspace::attention_parts(int64_t floats) {
  const int before = growths;
  grow(parts, floats, growths);
  if (growths != before) {  // attention_decode asks for zeros, once
    kernels::hip_check(hipMemset(parts.data(), 0, parts.bytes()), "hipMemset of the workspace");
    kernels::hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  return parts.data();
}

void Workspace::reserve_ids(int64_t rows) {
  grow(ids, 2 * rows, growths);
  grow(host_ids, 2 * rows, growths);
}

}  // namespace greta::engine::inline GRETA_MACHINE
