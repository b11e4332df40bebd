// Which of several blocks is done last, so that it can go on with what all of them wrote.
//
//   if (!is_last_block(counter, count, flag)) return;
//     by every thread of each of `count` blocks, once, after its writes to device memory; true in one block,
//     which sees the writes of all. counter: in device memory, 0 before the first block comes and 0 again
//     after the last. flag: a word of shared memory, free of use.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if !defined(GRETA_HIP_NVIDIA) || defined(__CUDACC__)

__device__ __forceinline__ bool is_last_block(uint32_t* counter, uint32_t count, uint32_t* flag) {
#if defined(__CUDA_ARCH__)
  // The block's barrier and one thread's atomic that releases and acquires order all of it (PTX ISA, "Memory
  // Consistency Model": causality order is transitive over barriers).
  __syncthreads();
  if (threadIdx.x == 0) {
    uint32_t before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    *flag = before + 1 == count;
    if (before + 1 == count) *counter = 0;
  }
  __syncthreads();
  return *flag != 0;
#else
  __threadfence();  // each thread's own writes
  __syncthreads();
  if (threadIdx.x == 0) {
    *flag = atomicAdd(counter, 1u) + 1 == count;
    if (*flag != 0) *counter = 0;
  }
  __syncthreads();
  __threadfence();
  return *flag != 0;
#endif
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
