// Stages of shared memory that the waves of a block fill in turn, some ahead of where they read: NVIDIA's
// copies in bulk and barriers that count bytes (PTX ISA, cp.async.bulk, mbarrier). They go past the waves'
// own loads and stores, which a queue of copies would hold up. Other machines have none: kBulkStages.
//
//   GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
//   by one wave, then wave_sync for it and a barrier for the others:   BulkStages::begin(bars, waves);
//   BulkStages filled(bars, count), read(bars, count);
//   the wave whose turn it is:                        each wave:
//     filled.wait_free();                               read.wait_full();
//     filled.expect(bytes);  one lane, then wave_sync   … reads the slot read.slot() …
//     filled.copy(to, from, bytes); …                   read.release();
//     filled.go_to(n); the stage n                      read.next();
//
// A copy's bytes are read once, so they are the first that leave L2. Addresses and bytes are multiples of 16.
// What a copy costs its wave, some 70 cycles, does not depend on its length, and lanes take turns: few long
// ones. A long copy is faster where both ends have the same place within 128 bytes.
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
  __device__ __forceinline__ static void begin(uint64_t* bars, int waves) {
    const BulkStages all(bars, kMostBulkStages);
    if (lane_id() != 0) return;
    GRETA_UNROLL
    for (int slot = 0; slot < kMostBulkStages; ++slot) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(all.full(slot)));
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
  __device__ __forceinline__ void expect(uint32_t bytes) const {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full(slot_)), "r"(bytes)
                 : "memory");
  }
  __device__ __forceinline__ void copy(void* to, const void* from, uint32_t bytes) const {
    // What createpolicy.fractional.L2::evict_first makes of 1.0, without its time; the constant is in CUTLASS
    // (TMA::CacheHintSm90).
    constexpr uint64_t kOnce = 0x12f0000000000000;
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
        "[%3], %4;" ::"r"(address(to)),
        "l"(from), "r"(bytes), "r"(full(slot_)), "l"(kOnce)
        : "memory");
  }
  // By all lanes, when the slot was full and the wave has read what it wants of it: a wave that went ahead
  // would release a slot twice, and another one's slot would be filled while it reads.
  __device__ __forceinline__ void release() const {
    wave_sync();
    if (lane_id() == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(free(slot_)) : "memory");
  }

 private:
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
