// Floats that blocks of a launch hand over to one of them without fences: a word is there when it is not 0.
//
//   const uint32_t before = come(counter, count, mine);
//     by all threads, `mine` in one thread of each of the `count` blocks that hand something over, at the
//     beginning; to that thread: how many blocks came before it. The last one to come knows that the others
//     run already, so it may wait for what they hand over. The counter is 0 before the first comes and again
//     when the last has come. Nobody waits for the answer before it is looked at.
//   hand_over(at, v);
//     a float2 or float4 at its alignment in device memory, where there were zeros. A 0 arrives as -0.
//   v = look(at); … v = awaited(at, v);
//     what has arrived of it so far; all of it. Several looks may be under way before the first is awaited.
//     Then whoever was the last to read it writes zeros there.
//
// Words are single values, so nothing orders one behind another, and nobody waits for memory to have them: a
// counter that is raised when all has arrived takes two of memory's answers more.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/hip/hip.hpp"

#if defined(GRETA_HIP_HOST)
#include <atomic>
#endif

namespace greta::kernels::inline GRETA_MACHINE {

#if !defined(GRETA_HIP_NVIDIA) || defined(__CUDACC__)

namespace handing {

template <int kWords>
struct Words {
  uint32_t x[kWords];
};
template <class V>
__device__ __forceinline__ Words<sizeof(V) / 4> words_of(const V& v) {
  Words<sizeof(V) / 4> w;
  memcpy(&w, &v, sizeof(V));
  return w;
}

// Relaxed, in the scope of the device.
template <int kWords>
__device__ __forceinline__ void store(void* at, const Words<kWords>& w) {
#if defined(__CUDA_ARCH__)
  if constexpr (kWords == 4) {
    asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(w.x[0]), "r"(w.x[1]),
                 "r"(w.x[2]), "r"(w.x[3])
                 : "memory");
  } else {
    asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(at), "r"(w.x[0]), "r"(w.x[1])
                 : "memory");
  }
#else
  GRETA_UNROLL
  for (int i = 0; i < kWords; ++i) {
    uint32_t* const word = static_cast<uint32_t*>(at) + i;
#if defined(GRETA_HIP_HOST)
    std::atomic_ref<uint32_t>(*word).store(w.x[i], std::memory_order_relaxed);
#elif defined(__HIP_DEVICE_COMPILE__)
    __hip_atomic_store(word, w.x[i], __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
#else
    *word = w.x[i];
#endif
  }
#endif
}
template <int kWords>
__device__ __forceinline__ Words<kWords> load(const void* at) {
  Words<kWords> w;
#if defined(__CUDA_ARCH__)
  if constexpr (kWords == 4) {
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w.x[0]), "=r"(w.x[1]), "=r"(w.x[2]), "=r"(w.x[3])
                 : "l"(at)
                 : "memory");
  } else {
    asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                 : "=r"(w.x[0]), "=r"(w.x[1])
                 : "l"(at)
                 : "memory");
  }
#else
  GRETA_UNROLL
  for (int i = 0; i < kWords; ++i) {
    auto* const word = const_cast<uint32_t*>(static_cast<const uint32_t*>(at) + i);
#if defined(GRETA_HIP_HOST)
    w.x[i] = std::atomic_ref<uint32_t>(*word).load(std::memory_order_relaxed);
#elif defined(__HIP_DEVICE_COMPILE__)
    w.x[i] = __hip_atomic_load(word, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
#else
    w.x[i] = *word;
#endif
  }
#endif
  return w;
}

}  // namespace handing

__device__ __forceinline__ uint32_t come(uint32_t* counter, uint32_t count, bool mine) {
#if defined(__CUDA_ARCH__)
  // A branch would join the answer with another value, and an addition be one for the wave: both wait for it.
  uint32_t before;
  asm volatile(
      "{\n"
      ".reg .pred mine;\n"
      "setp.ne.u32 mine, %3, 0;\n"
      "mov.u32 %0, 0;\n"
      "@mine atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;\n"
      "}"
      : "=&r"(before)
      : "l"(counter), "r"(count - 1), "r"(mine ? 1u : 0u)
      : "memory");
  return before;
#else
  if (!mine) return 0;
  const uint32_t before = atomicAdd(counter, 1u);
  if (before + 1 == count) *counter = 0;
  return before;
#endif
}

template <class V>
__device__ __forceinline__ void hand_over(V* at, const V& v) {
  auto words = handing::words_of(v);
  GRETA_UNROLL
  for (uint32_t& word : words.x) word = word == 0 ? 0x80000000u : word;
  handing::store(at, words);
}

template <class V>
__device__ __forceinline__ V look(const V* at) {
  const auto words = handing::load<sizeof(V) / 4>(at);
  V v;
  memcpy(&v, &words, sizeof(V));
  return v;
}

template <class V>
__device__ __forceinline__ V awaited(const V* at, V seen) {
  for (;;) {
    const auto words = handing::words_of(seen);
    bool there = true;
    GRETA_UNROLL
    for (const uint32_t word : words.x) there = there && word != 0;
    if (there) return seen;
#if defined(GRETA_HIP_HOST)
    if (!host::let_others_go_on()) return seen;  // the launch fails anyway
#endif
    seen = look(at);
  }
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
