// kernels/hip/: the one header that kernels compile against. The same source runs on three machines:
//   AMD     amd.hpp     <hip/hip_runtime.h>, hipcc or clang -x hip
//   NVIDIA  nvidia.hpp  the same names over the CUDA runtime, nvcc -x cu
//   host    host.hpp    the CPU, a fiber a lane; the default, and an instrument
//
// What a kernel may use, the same on all three:
//   __global__ __device__ __host__ __forceinline__ __launch_bounds__   threadIdx blockIdx blockDim gridDim
//   dim3 float2 float4 int2 int4 uint2 uint4 and their make_… hipLaunchKernelGGL(kernel, grid, block,
//   shared_bytes, stream, args…)
//                                        a template whose arguments have commas: HIP_KERNEL_NAME(k<a, b>)
//   GRETA_SHARED(type, name, count)      static shared memory; count is a constant
//   GRETA_DYNAMIC_SHARED(type, name)     the launch's shared_bytes
//   wave_size() kMaxWave                 64 on CDNA, 32 on NVIDIA, either on host (configure): loops over
//                                        lanes use wave_size(), arrays kMaxWave
//   lane_id() wave_id()                  the lane in its wave, the wave in its block
//   __syncthreads()                      by every lane of the block, at the same line
//   wave_sync() wave_shuffle(v, lane) wave_shuffle_xor(v, mask) wave_shuffle_down(v, delta) wave_ballot(p)
//                                        by every lane of the wave, at the same line
//   GRETA_UNROLL                         before a loop whose register arrays need constant indices; GRETA_NO_UNROLL
//   atomicAdd atomicMax atomicMin atomicCAS __threadfence   expf sqrtf rsqrtf fmaf sincosf … of <cmath>
//   f32_to_f16_rn f16_to_f32 (half.hpp), the matrix fragments of fragment.hpp
// Host code: the hip… runtime calls, or the checked wrappers of checked.hpp.
#pragma once

// A program holds the engine for the host and, where it is built for one, for a card: what is compiled for a
// machine is in an inline namespace of that machine's name.
#if defined(__HIP_PLATFORM_AMD__) || (defined(__clang__) && defined(__HIP__))
#define GRETA_HIP_AMD 1
#define GRETA_MACHINE on_amd
#include "kernels/hip/amd.hpp"
#elif defined(__CUDACC__) || \
    defined(GRETA_HIP_NVIDIA)  // the latter: host code that launches no kernel itself
#ifndef GRETA_HIP_NVIDIA
#define GRETA_HIP_NVIDIA 1
#endif
#define GRETA_MACHINE on_nvidia
#include "kernels/hip/nvidia.hpp"
#else
#define GRETA_HIP_HOST 1
#define GRETA_MACHINE on_host
#include "kernels/hip/host.hpp"
#endif

#include "kernels/hip/half.hpp"

#if defined(GRETA_HIP_HOST)
#define GRETA_UNROLL
#define GRETA_NO_UNROLL
#else
#define GRETA_UNROLL _Pragma("unroll")
#define GRETA_NO_UNROLL _Pragma("unroll 1")
#endif
