// Copies of 16 bytes from device to shared memory that go on beside a lane's work: cp.async on NVIDIA, a load
// and a store elsewhere.
//
//   AsyncCopies copies;
//   copies.copy16(to, from, bytes);  // the first `bytes` (0 to 16) of `from`, then zeros; both 16-byte
//   aligned copies.commit();                 // what was asked for since the last commit is a group (it may
//   be empty) copies.wait<N>();                // this lane's groups but the newest N are there; other lanes'
//   after a
//                                    // barrier
// The host machine copies as late as a card may: in wait, the place unwritten until then, so that a read that
// came too early shows.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

#if defined(GRETA_HIP_HOST)
#include <cstring>
#include <vector>

#include "kernels/hip/host_redzone.hpp"
#endif

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_HOST)

class AsyncCopies {
 public:
  void copy16(void* to, const void* from, int bytes) {
    std::memset(to, host::kUnwritten, 16);
    pending_.push_back({to, from, bytes, groups_});
  }
  void commit() { ++groups_; }
  template <int NEWEST>
  void wait() {
    size_t done = 0;
    for (; done < pending_.size() && pending_[done].group < groups_ - NEWEST; ++done) {
      const Pending& p = pending_[done];
      std::memset(p.to, 0, 16);
      std::memcpy(p.to, p.from, static_cast<size_t>(p.bytes));
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(done));
  }

 private:
  struct Pending {
    void* to;
    const void* from;
    int bytes, group;
  };
  std::vector<Pending> pending_;
  int groups_ = 0;
};

#elif defined(GRETA_HIP_NVIDIA)

#ifdef __CUDACC__
struct AsyncCopies {
  __device__ __forceinline__ void copy16(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     static_cast<uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(bytes)
                 : "memory");
  }
  __device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int NEWEST>
  __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(NEWEST) : "memory");
  }
};
#endif

#else

struct AsyncCopies {
  __device__ __forceinline__ void copy16(void* to, const void* from, int bytes) {
    uint4 value = make_uint4(0, 0, 0, 0);
    if (bytes == 16) {
      value = *static_cast<const uint4*>(from);
    } else {  // in words that registers hold: an array filled to a variable length would lie in memory
      const auto* const p = static_cast<const uint8_t*>(from);
      uint32_t words[4] = {};
      GRETA_UNROLL
      for (int i = 0; i < 16; ++i)
        if (i < bytes) words[i / 4] |= static_cast<uint32_t>(p[i]) << (i % 4 * 8);
      value = make_uint4(words[0], words[1], words[2], words[3]);
    }
    *static_cast<uint4*>(to) = value;
  }
  __device__ __forceinline__ void commit() {}
  template <int NEWEST>
  __device__ __forceinline__ void wait() {}
};

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
