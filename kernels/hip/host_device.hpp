// Host machine: what kernel bodies call. A lane's place is thread-local: fibers never leave their thread, so
// its address is fixed.
#pragma once

#include <atomic>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/hip/host_types.hpp"
#include "kernels/hip/source_location.hpp"

namespace greta::kernels {
inline constexpr int kMaxWave = 64;

namespace host {

struct LanePlace {
  struct {
    uint32_t x = 0, y = 0, z = 0;
  } thread, block;
  dim3 block_dim, grid_dim;
  int linear = 0;      // the lane's number in its block
  int wave_size = 0;   // 0: not in a kernel
  int wave_shift = 0;  // log2 of wave_size
};
extern constinit thread_local LanePlace place;

int configured_wave();
void block_rendezvous(SourceLocation where);
// For a lane that waits for what another block of its launch writes: lets other threads go on. False when a
// block has failed: what is waited for may never be written.
bool let_others_go_on();
void wave_rendezvous(SourceLocation where);
// Every lane deposits 64 bits and takes those of lane `from`; of a lane that the last wave lacks, all ones
// (as f32: NaN).
uint64_t wave_exchange(uint64_t bits, int from, SourceLocation where);
uint64_t wave_vote(bool yes, SourceLocation where);
// Every lane deposits a pointer; when all have, `complete(deposits, lanes)` runs once, then the lanes go on.
using WaveCompletion = void (*)(const uint64_t* deposits, int lanes);
void wave_complete(const void* deposit, WaveCompletion complete, SourceLocation where);

struct SharedSite {
  const char* name;
  const char* file;
  int line;
};
void* shared_array(const SharedSite* site, size_t bytes);
void* dynamic_shared();

}  // namespace host

inline int wave_size() {
  const int size = host::place.wave_size;
  return __builtin_expect(size != 0, 1) ? size : host::configured_wave();
}
inline int lane_id() { return host::place.linear & (host::place.wave_size - 1); }
inline int wave_id() { return host::place.linear >> host::place.wave_shift; }

inline void wave_sync(SourceLocation where = SourceLocation::current()) { host::wave_rendezvous(where); }

// The value of lane `from`, taken modulo the wave size.
template <typename T>
T wave_shuffle(T value, int from, SourceLocation where = SourceLocation::current()) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = host::wave_exchange(bits, from & (host::place.wave_size - 1), where);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
T wave_shuffle_xor(T value, int mask, SourceLocation where = SourceLocation::current()) {
  return wave_shuffle(value, lane_id() ^ mask, where);
}
// The value of lane_id() + delta; beyond the wave a lane keeps its own.
template <typename T>
T wave_shuffle_down(T value, int delta, SourceLocation where = SourceLocation::current()) {
  const int from = lane_id() + delta;
  return wave_shuffle(value, from < host::place.wave_size ? from : lane_id(), where);
}
// Bit l: what lane l passed.
inline uint64_t wave_ballot(bool yes, SourceLocation where = SourceLocation::current()) {
  return host::wave_vote(yes, where);
}

}  // namespace greta::kernels

#define threadIdx (::greta::kernels::host::place.thread)
#define blockIdx (::greta::kernels::host::place.block)
#define blockDim (::greta::kernels::host::place.block_dim)
#define gridDim (::greta::kernels::host::place.grid_dim)

#define GRETA_SHARED(type, name, count)                                                                    \
  static constinit const ::greta::kernels::host::SharedSite name##_shared_site{#name, __FILE__, __LINE__}; \
  type* const name =                                                                                       \
      static_cast<type*>(::greta::kernels::host::shared_array(&name##_shared_site, sizeof(type) * (count)))
#define GRETA_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::greta::kernels::host::dynamic_shared())

inline void __syncthreads(greta::kernels::SourceLocation where = greta::kernels::SourceLocation::current()) {
  ::greta::kernels::host::block_rendezvous(where);
}

// Orders what this lane did to memory before it ahead of what it does after it, as all other blocks see it.
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// Atomics return the old value; relaxed, as on cards. Blocks run on several threads, so they are real ones.
template <typename T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*at).fetch_add(value, std::memory_order_relaxed);
}
template <typename T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> desired) {
  std::atomic_ref<T>(*at).compare_exchange_strong(expected, desired, std::memory_order_relaxed);
  return expected;
}
template <typename T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  std::atomic_ref<T> ref(*at);
  T old = ref.load(std::memory_order_relaxed);
  while (old < value && !ref.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}
template <typename T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  std::atomic_ref<T> ref(*at);
  T old = ref.load(std::memory_order_relaxed);
  while (value < old && !ref.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}

#if !defined(__GLIBC_PREREQ) || !__GLIBC_PREREQ(2, 42)
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
#endif
