// NVIDIA: HIP's names over the CUDA runtime, each with internal linkage: the host machine's functions of the
// same names are in the same program.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#define HIP_KERNEL_NAME(...) __VA_ARGS__
#define hipLaunchKernelGGL(kernel, grid, block, shared_bytes, stream, ...) \
  do {                                                                     \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__);    \
  } while (0)

using hipError_t = cudaError_t;
using hipStream_t = cudaStream_t;
using hipEvent_t = cudaEvent_t;
using hipMemcpyKind = cudaMemcpyKind;
using hipHostFn_t = cudaHostFn_t;
using hipDeviceProp_t = cudaDeviceProp;

inline constexpr hipError_t hipSuccess = cudaSuccess, hipErrorInvalidValue = cudaErrorInvalidValue,
                            hipErrorOutOfMemory = cudaErrorMemoryAllocation,
                            hipErrorInvalidConfiguration = cudaErrorInvalidConfiguration,
                            hipErrorInvalidDevicePointer = cudaErrorInvalidDevicePointer,
                            hipErrorInvalidMemcpyDirection = cudaErrorInvalidMemcpyDirection,
                            hipErrorInvalidDevice = cudaErrorInvalidDevice,
                            hipErrorInvalidHandle = cudaErrorInvalidResourceHandle,
                            hipErrorNotReady = cudaErrorNotReady,
                            hipErrorIllegalAddress = cudaErrorIllegalAddress,
                            hipErrorLaunchFailure = cudaErrorLaunchFailure;
inline constexpr hipMemcpyKind hipMemcpyHostToHost = cudaMemcpyHostToHost,
                               hipMemcpyHostToDevice = cudaMemcpyHostToDevice,
                               hipMemcpyDeviceToHost = cudaMemcpyDeviceToHost,
                               hipMemcpyDeviceToDevice = cudaMemcpyDeviceToDevice,
                               hipMemcpyDefault = cudaMemcpyDefault;
inline constexpr unsigned hipStreamDefault = cudaStreamDefault, hipStreamNonBlocking = cudaStreamNonBlocking,
                          hipHostMallocDefault = cudaHostAllocDefault;

template <typename T>
static hipError_t hipMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
static inline hipError_t hipFree(void* pointer) { return cudaFree(pointer); }
template <typename T>
static hipError_t hipMallocAsync(T** pointer, size_t bytes, hipStream_t stream) {
  return cudaMallocAsync(reinterpret_cast<void**>(pointer), bytes, stream);
}
static inline hipError_t hipFreeAsync(void* pointer, hipStream_t stream) {
  return cudaFreeAsync(pointer, stream);
}
template <typename T>
static hipError_t hipHostMalloc(T** pointer, size_t bytes, unsigned flags = hipHostMallocDefault) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
static inline hipError_t hipHostFree(void* pointer) { return cudaFreeHost(pointer); }
static inline hipError_t hipMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return cudaMemGetInfo(free_bytes, total_bytes);
}
static inline hipError_t hipMemcpy(void* to, const void* from, size_t bytes, hipMemcpyKind kind) {
  return cudaMemcpy(to, from, bytes, kind);
}
static inline hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, hipMemcpyKind kind,
                                        hipStream_t stream = nullptr) {
  return cudaMemcpyAsync(to, from, bytes, kind, stream);
}
static inline hipError_t hipMemset(void* to, int byte, size_t bytes) { return cudaMemset(to, byte, bytes); }
static inline hipError_t hipMemsetAsync(void* to, int byte, size_t bytes, hipStream_t stream = nullptr) {
  return cudaMemsetAsync(to, byte, bytes, stream);
}
static inline hipError_t hipStreamCreate(hipStream_t* stream) { return cudaStreamCreate(stream); }
static inline hipError_t hipStreamCreateWithFlags(hipStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithFlags(stream, flags);
}
static inline hipError_t hipStreamDestroy(hipStream_t stream) { return cudaStreamDestroy(stream); }
static inline hipError_t hipStreamSynchronize(hipStream_t stream) { return cudaStreamSynchronize(stream); }
static inline hipError_t hipStreamQuery(hipStream_t stream) { return cudaStreamQuery(stream); }
static inline hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned flags = 0) {
  return cudaStreamWaitEvent(stream, event, flags);
}
static inline hipError_t hipLaunchHostFunc(hipStream_t stream, hipHostFn_t function, void* data) {
  return cudaLaunchHostFunc(stream, function, data);
}
static inline hipError_t hipDeviceSynchronize() { return cudaDeviceSynchronize(); }
static inline hipError_t hipEventCreate(hipEvent_t* event) { return cudaEventCreate(event); }
static inline hipError_t hipEventDestroy(hipEvent_t event) { return cudaEventDestroy(event); }
static inline hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream = nullptr) {
  return cudaEventRecord(event, stream);
}
static inline hipError_t hipEventSynchronize(hipEvent_t event) { return cudaEventSynchronize(event); }
static inline hipError_t hipEventQuery(hipEvent_t event) { return cudaEventQuery(event); }
static inline hipError_t hipEventElapsedTime(float* milliseconds, hipEvent_t start, hipEvent_t stop) {
  return cudaEventElapsedTime(milliseconds, start, stop);
}
static inline hipError_t hipSetDevice(int device) { return cudaSetDevice(device); }
static inline hipError_t hipGetDevice(int* device) { return cudaGetDevice(device); }
static inline hipError_t hipGetDeviceCount(int* count) { return cudaGetDeviceCount(count); }
static inline hipError_t hipGetDeviceProperties(hipDeviceProp_t* properties, int device) {
  return cudaGetDeviceProperties(properties, device);
}
using hipDeviceAttribute_t = cudaDeviceAttr;
inline constexpr hipDeviceAttribute_t hipDeviceAttributeMultiprocessorCount = cudaDevAttrMultiProcessorCount;
static inline hipError_t hipDeviceGetAttribute(int* value, hipDeviceAttribute_t attribute, int device) {
  return cudaDeviceGetAttribute(value, attribute, device);
}
using hipFuncAttribute = cudaFuncAttribute;
inline constexpr hipFuncAttribute hipFuncAttributeMaxDynamicSharedMemorySize =
    cudaFuncAttributeMaxDynamicSharedMemorySize;
static inline hipError_t hipFuncSetAttribute(const void* kernel, hipFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(kernel, attribute, value);
}
static inline hipError_t hipGetLastError() { return cudaGetLastError(); }
static inline hipError_t hipPeekAtLastError() { return cudaPeekAtLastError(); }
static inline const char* hipGetErrorString(hipError_t error) { return cudaGetErrorString(error); }

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kMaxWave = 64;
__host__ __device__ constexpr int wave_size() { return 32; }

// The pool behind hipMallocAsync gives nothing back to the system by itself: as it comes, it does so at each
// synchronise, and the next scratch costs a mapping.
inline void keep_freed_memory() {
  cudaMemPool_t pool = nullptr;
  int device = 0;
  uint64_t all = ~uint64_t{0};
  if (cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess)
    (void)cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all);
}

#ifdef __CUDACC__

__device__ __forceinline__ int linear_thread() {
  return static_cast<int>((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
}
__device__ __forceinline__ int lane_id() { return linear_thread() % wave_size(); }
__device__ __forceinline__ int wave_id() { return linear_thread() / wave_size(); }

// Those of the wave that exist: the last wave of a block may lack lanes.
__device__ __forceinline__ unsigned wave_mask() {
  const int left = static_cast<int>(blockDim.x * blockDim.y * blockDim.z) - wave_id() * wave_size();
  return left >= wave_size() ? 0xffffffffu : (1u << left) - 1;
}
__device__ __forceinline__ void wave_sync() { __syncwarp(wave_mask()); }
template <typename T>
__device__ __forceinline__ T wave_shuffle(T value, int from) {
  return __shfl_sync(wave_mask(), value, from);
}
template <typename T>
__device__ __forceinline__ T wave_shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(wave_mask(), value, mask);
}
template <typename T>
__device__ __forceinline__ T wave_shuffle_down(T value, int delta) {
  return __shfl_down_sync(wave_mask(), value, static_cast<unsigned>(delta));
}
__device__ __forceinline__ uint64_t wave_ballot(bool yes) { return __ballot_sync(wave_mask(), yes); }

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE

#define GRETA_SHARED(type, name, count) __shared__ type name[count]
// At 1024 bytes: what the swizzle of a tile asks for (shared_tile.hpp).
#define GRETA_DYNAMIC_SHARED(type, name)                                  \
  extern __shared__ __align__(1024) unsigned char greta_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(greta_dynamic_shared)
