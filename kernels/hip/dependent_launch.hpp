// A launch that may begin before the kernel ahead of it in the stream has ended (NVIDIA: programmatic
// dependent launch; works in stream capture). AMD and host: a plain launch, and the device functions do
// nothing.
//
//   launch_dependent(name, kernel, grid, block, shared_bytes, stream, args…)
//   wait_for_predecessor()   in the kernel, by every thread, before it touches what earlier kernels wrote or
//                            read; returns when they have ended. Ahead of it only constants may be read:
//                            weights must have been written before the last synchronise.
//   ready(p)                 the pointer p to device memory, computed here: written ahead of the wait, since
//                            the compiler leaves to the last what is only wanted behind it
//   settled(p)               the same of a pointer to shared memory; nothing about it is known behind it
//   release_successor()      in the kernel: from here on the next kernel's blocks may come in beside this
//                            one's
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Multiprocessors of the current device. The host machine says 3: enough for blocks to share a matrix, and a
// number that no size is a multiple of.
inline int device_processors() {
#if defined(GRETA_HIP_NVIDIA)
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess)
    return 1;
  return count;
#elif defined(GRETA_HIP_AMD)
  int device = 0, count = 0;
  if (hipGetDevice(&device) != hipSuccess ||
      hipDeviceGetAttribute(&count, hipDeviceAttributeMultiprocessorCount, device) != hipSuccess)
    return 1;
  return count;
#else
  return 3;
#endif
}

#if defined(GRETA_HIP_NVIDIA) && !defined(__CUDACC__)
// Host code that launches no kernel.
#else

__device__ __forceinline__ void wait_for_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void release_successor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

template <typename T>
__device__ __forceinline__ const T* ready(const T* p) {
#if defined(__CUDA_ARCH__)
  // It has to be known for that, and nothing is ever at 1.
  uint64_t at = __cvta_generic_to_global(p);
  asm volatile("{\n.reg .pred never;\nsetp.eq.u64 never, %0, 1;\n@never trap;\n}" : "+l"(at));
  return static_cast<const T*>(__cvta_global_to_generic(at));
#else
  return p;
#endif
}
template <typename T>
__device__ __forceinline__ T* settled(T* p) {
#if defined(__CUDA_ARCH__)
  auto at = static_cast<uint32_t>(__cvta_generic_to_shared(p));
  asm volatile("{\n.reg .pred never;\nsetp.eq.u32 never, %0, 1;\n@never trap;\n}" : "+r"(at));
  return static_cast<T*>(__cvta_shared_to_generic(at));
#else
  return p;
#endif
}

#if defined(GRETA_HIP_NVIDIA)
// Once a kernel and device: where launches follow each other the host's time counts.
inline void prepare_launch(const void* kernel, size_t shared_bytes) {
  int device = 0;
  (void)cudaGetDevice(&device);
  thread_local std::map<std::pair<int, const void*>, size_t> prepared;
  const auto [known, is_new] = prepared.try_emplace({device, kernel}, 0);
  size_t& most = known->second;  // dynamic shared memory that it may have
  constexpr size_t kUnasked = size_t{48} * 1024;
  if (cudaFuncAttributes of{}; is_new && cudaFuncGetAttributes(&of, kernel) == cudaSuccess)
    most = kUnasked - std::min(kUnasked, of.sharedSizeBytes);
  // More than 48 KB of shared memory, with what is static, has to be asked for; then as much of it as there
  // is, for the next launch's blocks beside this one's.
  if (shared_bytes > most)
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
  if (shared_bytes > most && cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  static_cast<int>(shared_bytes)) == cudaSuccess)
    most = shared_bytes;
}
#endif

// What the runtime refuses is left for hipGetLastError, as with hipLaunchKernelGGL.
template <typename... Params, typename... Args>
void launch_dependent([[maybe_unused]] const char* name, void (*kernel)(Params...), dim3 grid, dim3 block,
                      size_t shared_bytes, hipStream_t stream, const Args&... args) {
#if defined(GRETA_HIP_NVIDIA)
  prepare_launch(reinterpret_cast<const void*>(kernel), shared_bytes);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  (void)cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
#elif defined(GRETA_HIP_AMD)
  hipLaunchKernelGGL(kernel, grid, block, shared_bytes, stream, static_cast<Params>(args)...);
#else
  host::launch(name, kernel, grid, block, shared_bytes, stream, args...);
#endif
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
