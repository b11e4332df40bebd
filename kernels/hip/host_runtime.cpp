#include "kernels/hip/host_runtime.hpp"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "kernels/hip/host_shared.hpp"
#include "kernels/hip/host_state.hpp"

using greta::kernels::host::Device;

namespace {

Device& device() { return Device::get(); }

hipError_t report(hipError_t code, const std::string& sentence) { return device().report(code, sentence); }

hipError_t failure_or_success(const std::string& failure) {
  return failure.empty() ? hipSuccess : report(hipErrorLaunchFailure, failure);
}

hipError_t push(const char* call, hipStream_t stream, greta::kernels::host::Stream::Task task) {
  if (device().push(stream, std::move(task))) return hipSuccess;
  return report(hipErrorInvalidHandle, std::string(call) + ": the stream does not exist");
}

// What is wrong with a copy of this kind, or "".
std::string wrong_copy(const void* to, const void* from, size_t bytes, hipMemcpyKind kind) {
  const auto& memory = device().memory;
  const bool infer = kind == hipMemcpyDefault;
  // The kinds are two bits: 1 to the device, 2 from it.
  const bool device_to = infer ? memory.touches(to, bytes) : kind & 1;
  const bool device_from = infer ? memory.touches(from, bytes) : kind & 2;
  const auto side = [&](const char* name, const void* pointer, bool on_device) -> std::string {
    if (on_device) {
      const std::string outside = memory.outside(pointer, bytes);
      return outside.empty() ? "" : std::string(name) + ": " + outside;
    }
    if (!pointer) return std::string(name) + " is null";
    return memory.touches(pointer, bytes)
               ? std::string(name) + " is device memory, not host memory as the kind says"
               : "";
  };
  std::string wrong = side("destination", to, device_to);
  if (wrong.empty()) wrong = side("source", from, device_from);
  return wrong;
}

}  // namespace

hipError_t hipMalloc(void** pointer, size_t bytes) {
  if (!pointer) return report(hipErrorInvalidValue, "hipMalloc: the address to fill is null");
  *pointer = nullptr;
  if (bytes == 0) return hipSuccess;
  *pointer = device().memory.allocate(bytes);
  if (*pointer) return hipSuccess;
  return report(hipErrorOutOfMemory, "hipMalloc of " + std::to_string(bytes) + " bytes: out of memory");
}

hipError_t hipFree(void* pointer) {
  if (!pointer) return hipSuccess;
  device().wait_for_all();
  const std::string wrong = device().memory.release(pointer);
  if (wrong.empty()) return hipSuccess;
  const bool damaged = wrong.starts_with("hipFree:");
  return report(damaged ? hipErrorIllegalAddress : hipErrorInvalidDevicePointer, wrong);
}

hipError_t hipMallocAsync(void** pointer, size_t bytes, hipStream_t stream) {
  const hipError_t code = push("hipMallocAsync", stream, {[] { return std::string(); }, {}});
  return code == hipSuccess ? hipMalloc(pointer, bytes) : code;
}

hipError_t hipFreeAsync(void* pointer, hipStream_t stream) {
  if (!pointer) return hipSuccess;
  const auto release = [pointer] { return device().memory.release(pointer); };
  return push("hipFreeAsync", stream, {release, {}, true});
}

hipError_t hipHostMalloc(void** pointer, size_t bytes, unsigned) {
  if (!pointer) return report(hipErrorInvalidValue, "hipHostMalloc: the address to fill is null");
  *pointer = device().pinned.allocate(bytes);
  if (*pointer) return hipSuccess;
  return report(hipErrorOutOfMemory, "hipHostMalloc of " + std::to_string(bytes) + " bytes: out of memory");
}

hipError_t hipHostFree(void* pointer) {
  if (!pointer || device().pinned.release(pointer)) return hipSuccess;
  return report(hipErrorInvalidValue,
                "hipHostFree of a pointer that hipHostMalloc did not give, or freed before");
}

hipError_t hipMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  *free_bytes = page * static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES));
  *total_bytes = page * static_cast<size_t>(sysconf(_SC_PHYS_PAGES));
  return hipSuccess;
}

hipError_t hipMemcpy(void* to, const void* from, size_t bytes, hipMemcpyKind kind) {
  if (const std::string failure = device().synchronise(true); !failure.empty()) {
    return report(hipErrorLaunchFailure, failure);
  }
  if (bytes == 0) return hipSuccess;
  if (const std::string wrong = wrong_copy(to, from, bytes, kind); !wrong.empty()) {
    return report(hipErrorInvalidValue, "hipMemcpy: " + wrong);
  }
  std::memmove(to, from, bytes);
  return hipSuccess;
}

hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, hipMemcpyKind kind, hipStream_t stream) {
  const auto check = [=]() -> std::string {
    const std::string wrong = bytes ? wrong_copy(to, from, bytes, kind) : "";
    return wrong.empty() ? "" : "hipMemcpyAsync: " + wrong;
  };
  if (const std::string wrong = check(); !wrong.empty()) return report(hipErrorInvalidValue, wrong);
  const auto copy = [=]() -> std::string {
    const std::string wrong = check();  // freed since?
    if (wrong.empty() && bytes) std::memmove(to, from, bytes);
    return wrong;
  };
  return push("hipMemcpyAsync", stream, {copy, {}});
}

hipError_t hipMemset(void* to, int byte, size_t bytes) { return hipMemsetAsync(to, byte, bytes, nullptr); }

hipError_t hipMemsetAsync(void* to, int byte, size_t bytes, hipStream_t stream) {
  const auto check = [=]() -> std::string {
    const std::string wrong = bytes ? device().memory.outside(to, bytes) : "";
    return wrong.empty() ? "" : "hipMemset: " + wrong;
  };
  if (const std::string wrong = check(); !wrong.empty()) return report(hipErrorInvalidValue, wrong);
  const auto fill = [=]() -> std::string {
    const std::string wrong = check();
    if (wrong.empty() && bytes) std::memset(to, byte, bytes);
    return wrong;
  };
  return push("hipMemsetAsync", stream, {fill, {}});
}

hipError_t hipDeviceSynchronize() { return failure_or_success(device().synchronise(false)); }

hipError_t hipSetDevice(int number) {
  if (number == 0) return hipSuccess;
  return report(hipErrorInvalidDevice,
                "hipSetDevice(" + std::to_string(number) + "): the host machine is device 0, the only one");
}
hipError_t hipGetDevice(int* number) {
  *number = 0;
  return hipSuccess;
}
hipError_t hipGetDeviceCount(int* count) {
  *count = 1;
  return hipSuccess;
}

hipError_t hipDeviceGetAttribute(int* value, hipDeviceAttribute_t, int number) {
  *value = 1;  // blocks are spread over threads, but none is worth more than another
  return hipSetDevice(number);
}
hipError_t hipFuncSetAttribute(const void*, hipFuncAttribute, int value) {
  if (value >= 0 && static_cast<size_t>(value) <= greta::kernels::host::kSharedBytes) return hipSuccess;
  return report(hipErrorInvalidValue, "hipFuncSetAttribute: " + std::to_string(value) +
                                          " bytes of shared memory, and a block has " +
                                          std::to_string(greta::kernels::host::kSharedBytes));
}

hipError_t hipGetLastError() { return std::exchange(greta::kernels::host::last_code, hipSuccess); }
hipError_t hipPeekAtLastError() { return greta::kernels::host::last_code; }

const char* hipGetErrorString(hipError_t error) {
  switch (error) {
    case hipSuccess:
      return "no error";
    case hipErrorInvalidValue:
      return "invalid argument";
    case hipErrorOutOfMemory:
      return "out of memory";
    case hipErrorInvalidConfiguration:
      return "invalid configuration argument";
    case hipErrorInvalidDevicePointer:
      return "invalid device pointer";
    case hipErrorInvalidMemcpyDirection:
      return "invalid copy direction for memcpy";
    case hipErrorInvalidDevice:
      return "invalid device ordinal";
    case hipErrorInvalidHandle:
      return "invalid resource handle";
    case hipErrorNotReady:
      return "device not ready";
    case hipErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case hipErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unknown error";
}
