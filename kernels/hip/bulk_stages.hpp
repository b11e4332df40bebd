// Stages of shared memory that the waves of a block fill in turn, some ahead of where they read: NVIDIA's
// copies in bulk and barriers that count bytes (PTX ISA, cp.async.bulk, mbarrier). They go past the waves'
// own loads and stores, which a queue of copies would hold up. Other machines have none: kBulkStages.
//
//   GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
//   by one wave, then a barrier for all:   BulkStages::begin(bars, fillers, waves);
//   BulkStages filled(bars, count), read(bars, count);
//   each of the stage's fillers:                      each wave:
//     filled.go_to(n); the stage n                      read.wait_full();
//     filled.wait_free();                               … reads the slot read.slot() …
//     filled.expect(bytes);                             read.release();
//     filled.copy(…); …                                 read.next();
//
// A copy's bytes are read once, so they are the first that leave L2. Addresses and bytes are multiples of 16.
// A copy takes the wave that asks for it some 130 cycles, whatever its size, and more beside busy waves; less
// where several follow each other without a loop. So two waves share a stage.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kMostBulkStages = 4;

#if defined(GRETA_HIP_NVIDIA)

inline constexpr bool kBulkStages = true;

#ifdef __CUDACC__
class BulkStages {
 public:
  // count: 2 to kMostBulkStages.
  __device__ __forceinline__ BulkStages(uint64_t* bars, int count) : bars_(address(bars)), count_(count) {}
  // By one lane: the machine takes lanes one after another.
  __device__ __forceinline__ static void begin(uint64_t* bars, int fillers, int waves) {
    const BulkStages all(bars, kMostBulkStages);
    if (lane_id() != 0) return;
    GRETA_UNROLL
    for (int slot = 0; slot < kMostBulkStages; ++slot) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(all.full(slot)), "r"(fillers));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(all.free(slot)), "r"(waves));
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __device__ __forceinline__ int slot() const { return slot_; }
  __device__ __forceinline__ void next() {
    if (++slot_ == count_) slot_ = 0, parity_ ^= 1;
  }
  __device__ __forceinline__ void go_to(int stage) {
    const int around = count_ == 4 ? stage / 4 : count_ == 3 ? stage / 3 : stage / 2;
    slot_ = stage - around * count_, parity_ = around & 1;
  }
  // The first time around every slot is free.
  __device__ __forceinline__ void wait_free() const { wait(free(slot_), parity_ ^ 1); }
  __device__ __forceinline__ void wait_full() const { wait(full(slot_), parity_); }
  // Where there are no more stages than slots: the first one, the one after it, …
  __device__ __forceinline__ void wait_full_once() {
    wait(full(slot_), 0);
    ++slot_;
  }
  // By a wave, all lanes with the same arguments: the slot will have `all` bytes of this filler.
  __device__ __forceinline__ void expect(uint32_t all) const {
    if (elected())
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full(slot_)), "r"(all)
                   : "memory");
  }
  // Likewise: a copy; `count` copies, steps in bytes.
  __device__ __forceinline__ void copy(void* to, const void* from, uint32_t bytes) const {
    if (elected()) copy_one(address(to), reinterpret_cast<uintptr_t>(from), bytes, full(slot_));
  }
  __device__ __forceinline__ void copy(void* to, int to_step, const void* from, uint32_t from_step, int count,
                                       uint32_t bytes) const {
    const uint64_t begin = reinterpret_cast<uintptr_t>(from);
    uint64_t source = static_cast<uint64_t>(uniform(static_cast<uint32_t>(begin >> 32))) << 32 |
                      uniform(static_cast<uint32_t>(begin));
    uint32_t target = uniform(address(to));
    const uint32_t bar = uniform(full(slot_)), far = uniform(from_step), size = uniform(bytes),
                   step = uniform(static_cast<uint32_t>(to_step));
    int left = static_cast<int>(uniform(static_cast<uint32_t>(count)));
    if (!elected()) return;
    constexpr int kAtOnce = 4;
    GRETA_NO_UNROLL
    for (; left >= kAtOnce; left -= kAtOnce) {
      GRETA_UNROLL
      for (int i = 0; i < kAtOnce; ++i)
        copy_one(target + i * step, source + static_cast<uint64_t>(i) * far, size, bar);
      source += static_cast<uint64_t>(kAtOnce) * far, target += kAtOnce * step;
    }
    GRETA_NO_UNROLL
    for (; left > 0; --left, source += far, target += step) copy_one(target, source, size, bar);
  }
  // By a wave: to L2, from where a copy soon wants it.
  __device__ __forceinline__ static void bring_near(const void* from, uint32_t bytes) {
    if (elected())
      asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
  }
  // By all lanes, when the slot was full and the wave has read what it wants of it: a wave that went ahead
  // would release a slot twice, and another one's slot would be filled while it reads.
  __device__ __forceinline__ void release() const {
    wave_sync();
    if (lane_id() == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(free(slot_)) : "memory");
  }

 private:
  __device__ __forceinline__ static void copy_one(uint32_t to, uint64_t from, uint32_t bytes, uint32_t bar) {
    // What createpolicy.fractional.L2::evict_first makes of 1.0, without its time; the constant is in CUTLASS
    // (TMA::CacheHintSm90).
    constexpr uint64_t kOnce = 0x12f0000000000000;
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
        "[%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(bar), "l"(kOnce)
        : "memory");
  }
  // One lane, known to the compiler as one.
  __device__ __forceinline__ static bool elected() {
    uint32_t one;
    asm volatile(
        "{\n"
        ".reg .pred one;\n"
        "elect.sync _|one, 0xffffffff;\n"
        "selp.b32 %0, 1, 0, one;\n"
        "}"
        : "=r"(one));
    return one != 0;
  }
  // The same, and known to be the same in all lanes.
  __device__ __forceinline__ static uint32_t uniform(uint32_t v) { return __shfl_sync(0xffffffffu, v, 0); }
  __device__ __forceinline__ static uint32_t address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
  }
  __device__ __forceinline__ uint32_t full(int slot) const { return bars_ + 8 * slot; }
  __device__ __forceinline__ uint32_t free(int slot) const { return bars_ + 8 * (kMostBulkStages + slot); }
  __device__ __forceinline__ static void wait(uint32_t bar, int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "AGAIN: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra AGAIN;\n"
        "}" ::"r"(bar),
        "r"(parity)
        : "memory");
  }

  uint32_t bars_;
  int count_, slot_ = 0, parity_ = 0;
};
#endif

#else

inline constexpr bool kBulkStages = false;

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
