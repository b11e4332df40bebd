// AMD: HIP itself, and our own names over it.
#pragma once

#include <hip/hip_runtime.h>

#include <cstdint>

#if HIP_VERSION < 50300000  // 5.2, Debian's, declares it and does not have it
namespace greta::kernels::on_amd_before_5_3 {
struct HostCall {
  hipHostFn_t function;
  void* data;
};
inline void run_and_forget(hipStream_t, hipError_t, void* call) {
  const HostCall own = *static_cast<HostCall*>(call);
  delete static_cast<HostCall*>(call);
  own.function(own.data);
}
inline hipError_t launch_host_function(hipStream_t stream, hipHostFn_t function, void* data) {
  auto* call = new HostCall{function, data};
  const hipError_t error = hipStreamAddCallback(stream, run_and_forget, call, 0);
  if (error != hipSuccess) delete call;
  return error;
}
}  // namespace greta::kernels::on_amd_before_5_3
#define hipLaunchHostFunc greta::kernels::on_amd_before_5_3::launch_host_function
#endif

namespace greta::kernels::inline GRETA_MACHINE {

// CDNA has waves of 64; build with -DGRETA_AMD_WAVE=32 for the RDNA cards.
#ifndef GRETA_AMD_WAVE
#define GRETA_AMD_WAVE 64
#endif
inline constexpr int kMaxWave = 64;
__host__ __device__ constexpr int wave_size() { return GRETA_AMD_WAVE; }

// The pool behind hipMallocAsync gives nothing back to the system by itself.
inline void keep_freed_memory() {
  hipMemPool_t pool = nullptr;
  int device = 0;
  uint64_t all = ~uint64_t{0};
  if (hipGetDevice(&device) == hipSuccess && hipDeviceGetDefaultMemPool(&pool, device) == hipSuccess)
    (void)hipMemPoolSetAttribute(pool, hipMemPoolAttrReleaseThreshold, &all);
}

#ifdef __HIP__  // the rest is for kernels: not for the host's compiler, which takes files without any

__device__ __forceinline__ int linear_thread() {
  return static_cast<int>((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
}
__device__ __forceinline__ int lane_id() { return linear_thread() % wave_size(); }
__device__ __forceinline__ int wave_id() { return linear_thread() / wave_size(); }

// Lanes of a wave run together; what is left to do is to keep the compiler from moving memory accesses
// across.
__device__ __forceinline__ void wave_sync() {
  __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
  __builtin_amdgcn_wave_barrier();
}
template <typename T>
__device__ __forceinline__ T wave_shuffle(T value, int from) {
  return __shfl(value, from, wave_size());
}
template <typename T>
__device__ __forceinline__ T wave_shuffle_xor(T value, int mask) {
  return __shfl_xor(value, mask, wave_size());
}
template <typename T>
__device__ __forceinline__ T wave_shuffle_down(T value, int delta) {
  return __shfl_down(value, static_cast<unsigned>(delta), wave_size());
}
__device__ __forceinline__ uint64_t wave_ballot(bool yes) { return __ballot(yes); }

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE

#define GRETA_SHARED(type, name, count) __shared__ type name[count]
#define GRETA_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char greta_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(greta_dynamic_shared)
