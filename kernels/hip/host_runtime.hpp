// Host machine: the runtime calls, with HIP's names and meaning. Every call is thread-safe. Where HIP leaves
// room, the harsher reading holds: every ...Async call returns before its work begins, whatever the memory;
// device pointers and ranges are checked at the call and again when it runs. Work in a stream created here
// waits for earlier work in the null stream, and the reverse (HIP's default), unless created non-blocking.
// After a kernel failed, later kernels, copies and fills of its stream are left out until a synchronise has
// returned the error; host functions run.
#pragma once

#include "kernels/hip/host_types.hpp"

hipError_t hipMalloc(void** pointer, size_t bytes);
hipError_t hipFree(void* pointer);  // waits for all streams (their failures stay), then checks the red zones
// Memory at once, given back when the stream gets there; what hipFree finds is then the stream's failure.
hipError_t hipMallocAsync(void** pointer, size_t bytes, hipStream_t stream);
hipError_t hipFreeAsync(void* pointer, hipStream_t stream);
hipError_t hipHostMalloc(void** pointer, size_t bytes, unsigned flags = hipHostMallocDefault);
hipError_t hipHostFree(void* pointer);
hipError_t hipMemGetInfo(size_t* free_bytes, size_t* total_bytes);
template <typename T>
hipError_t hipMalloc(T** pointer, size_t bytes) {
  return hipMalloc(reinterpret_cast<void**>(pointer), bytes);
}
template <typename T>
hipError_t hipMallocAsync(T** pointer, size_t bytes, hipStream_t stream) {
  return hipMallocAsync(reinterpret_cast<void**>(pointer), bytes, stream);
}
template <typename T>
hipError_t hipHostMalloc(T** pointer, size_t bytes, unsigned flags = hipHostMallocDefault) {
  return hipHostMalloc(reinterpret_cast<void**>(pointer), bytes, flags);
}

hipError_t hipMemcpy(void* to, const void* from, size_t bytes, hipMemcpyKind kind);
hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, hipMemcpyKind kind,
                          hipStream_t stream = nullptr);
hipError_t hipMemset(void* to, int byte, size_t bytes);
hipError_t hipMemsetAsync(void* to, int byte, size_t bytes, hipStream_t stream = nullptr);

hipError_t hipStreamCreate(hipStream_t* stream);
hipError_t hipStreamCreateWithFlags(hipStream_t* stream, unsigned flags);
hipError_t hipStreamDestroy(hipStream_t stream);
hipError_t hipStreamSynchronize(hipStream_t stream);
hipError_t hipStreamQuery(hipStream_t stream);
hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned flags = 0);
hipError_t hipLaunchHostFunc(hipStream_t stream, hipHostFn_t function, void* data);
hipError_t hipDeviceSynchronize();

hipError_t hipEventCreate(hipEvent_t* event);
hipError_t hipEventDestroy(hipEvent_t event);
hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream = nullptr);
hipError_t hipEventSynchronize(hipEvent_t event);
hipError_t hipEventQuery(hipEvent_t event);
hipError_t hipEventElapsedTime(float* milliseconds, hipEvent_t start, hipEvent_t stop);

hipError_t hipSetDevice(int device);
hipError_t hipGetDevice(int* device);
hipError_t hipGetDeviceCount(int* count);
hipError_t hipDeviceGetAttribute(int* value, hipDeviceAttribute_t attribute, int device);
// Accepts what a block has (host_shared.hpp), and no more.
hipError_t hipFuncSetAttribute(const void* kernel, hipFuncAttribute attribute, int value);
hipError_t hipGetLastError();  // of this thread's calls; clears it
hipError_t hipPeekAtLastError();
const char* hipGetErrorString(hipError_t error);

namespace greta::kernels {
inline void keep_freed_memory() {}  // of a card's allocator; here every allocation is fresh
}  // namespace greta::kernels
