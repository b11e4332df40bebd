// Host machine: one block of a launch, run on one thread. Lanes are pulled in order and run as a plain loop
// on one fiber; only a lane that waits at a collective keeps its fiber, and the next lane gets another.
//
// Between two barriers the waves run one after another, each until all its lanes wait at the barrier or have
// left. Every arrival is counted with its line; when a wave or the block can go no further, the counts are
// the error.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/hip/host_device.hpp"
#include "kernels/hip/host_fibers.hpp"
#include "kernels/hip/host_launch.hpp"
#include "kernels/hip/host_shared.hpp"
#include "kernels/hip/source_location.hpp"

namespace greta::kernels::host {

inline constexpr int kMaxLanes = 1024;  // in a block, as on AMD and NVIDIA

bool same_place(const SourceLocation& a, const SourceLocation& b);

class BlockRunner {
 public:
  BlockRunner() = default;
  ~BlockRunner();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  // This thread's runner; its fibers live as long as the thread.
  static BlockRunner& of_this_thread();

  // Before the blocks of a launch; `launch` must outlive them.
  void begin(const Launch& launch);
  // Runs block number `block` (x fastest); what went wrong as a sentence, or "".
  std::string run(uint64_t block);

  // Called by lanes, through the functions of host_device.hpp.
  void at_barrier(SourceLocation where);
  void at_wave_collective(SourceLocation where);
  uint64_t* deposits() { return deposits_[generation_ & 1]; }
  uint64_t& votes() { return votes_[generation_ & 1]; }
  int wave_lanes() const { return wave_end_ - wave_begin_; }
  void complete_with(WaveCompletion completion) { completion_ = completion; }
  SharedArena& shared() { return shared_; }

 private:
  enum class State : uint8_t { unstarted, at_barrier, at_wave, left };
  static constexpr int kBlockDone = -1;
  struct Abandoned {};  // unwinds the lanes of a block that has failed

  // What a switch touches of a lane: half a cache line.
  struct Lane {
    Context context;
    Fiber* fiber;
    SourceLocation where;  // of its last arrival
    uint16_t x, y, z;
    State state;
  };

  static void fiber_main();
  int run_fresh_lanes();
  void suspend();
  int next_lane() { return cursor_ < wave_end_ ? order_[cursor_++] : next_pass(); }
  int next_pass();
  int next_abandoned();
  void enter_wave();
  void new_interval();
  void release_wave();
  void shuffle(uint16_t* begin, int count);
  void set_place(int lane);
  void prefetch_turn_after_next() const;
  Fiber& free_fiber();
  void fail(const std::string& sentence);
  void fail_counted(int begin, int end, State state, const SourceLocation& first, const std::string& scope);
  std::string doing(int lane) const;

  const Launch* launch_ = nullptr;
  int lanes_ = 0, waves_ = 0, wave_shift_ = 0;

  // The schedule: order_[wave_begin_..wave_end_) of the wave now running, wave_order_ of the waves.
  int cursor_ = 0, wave_begin_ = 0, wave_end_ = 0, wave_cursor_ = 0;
  std::array<uint16_t, kMaxLanes + 1> order_{},
      wave_order_{};  // and one that may be looked at beyond the last
  uint64_t random_ = 0;

  std::array<Lane, kMaxLanes> lane_{};
  int left_ = 0, at_barrier_ = 0, at_wave_ = 0;
  SourceLocation barrier_, collective_;  // of the first to arrive
  bool barrier_mismatch_ = false, collective_mismatch_ = false;

  // Deposits of the wave now running; two sets, since a lane may deposit for the next collective before
  // another has read this one's.
  unsigned generation_ = 0;
  uint64_t deposits_[2][kMaxWave];
  uint64_t votes_[2] = {0, 0};
  WaveCompletion completion_ = nullptr;

  std::string failure_;
  bool abandoning_ = false;

  Fiber thread_;  // the stack of the thread itself
  FiberStacks stacks_;
  std::vector<Fiber*> free_;
  Fiber* fiber_ = nullptr;  // now running
  bool ending_ = false;
  SharedArena shared_;
};

inline void BlockRunner::set_place(int lane) {
  const Lane& l = lane_[lane];
  place.thread = {l.x, l.y, l.z};
  place.linear = lane;
}

// Hundreds of stacks, each in a page of its own, are more than the first-level caches and their address
// buffer hold.
inline void BlockRunner::prefetch_turn_after_next() const {
  const auto* const stack = static_cast<const char*>(lane_[order_[cursor_]].context);
  __builtin_prefetch(stack);
  __builtin_prefetch(stack + 64);
}

// The lane now running waits; returns when it is its turn again. Inlined into each collective: see
// host_fibers.hpp.
__attribute__((always_inline)) inline void BlockRunner::suspend() {
  const int lane = place.linear, next = next_lane();
  if (next != lane) {
    Fiber* const self = fiber_;
    lane_[lane].fiber = self;
    Context to = thread_.context;
    fiber_ = &thread_;
    if (next != kBlockDone) {
      set_place(next);
      const bool fresh = lane_[next].state == State::unstarted;
      fiber_ = fresh ? &free_fiber() : lane_[next].fiber;
      to = fresh ? fiber_->context : lane_[next].context;
      prefetch_turn_after_next();
    }
    leaving(self, *fiber_);
    switch_context(&lane_[lane].context, to);
    arrived(*self, nullptr);
  }
  if (abandoning_) throw Abandoned{};
}

__attribute__((always_inline)) inline void BlockRunner::at_barrier(SourceLocation where) {
  if (abandoning_) throw Abandoned{};
  Lane& lane = lane_[place.linear];
  lane.state = State::at_barrier;
  lane.where = where;
  if (at_barrier_++ == 0) {
    barrier_ = where;
  } else if (!same_place(barrier_, where)) {
    barrier_mismatch_ = true;
  }
  suspend();
}

__attribute__((always_inline)) inline void BlockRunner::at_wave_collective(SourceLocation where) {
  if (abandoning_) throw Abandoned{};
  Lane& lane = lane_[place.linear];
  lane.state = State::at_wave;
  lane.where = where;
  if (at_wave_++ == 0) {
    collective_ = where;
  } else if (!same_place(collective_, where)) {
    collective_mismatch_ = true;
  }
  suspend();
}

bool same_text(const SourceLocation& a, const SourceLocation& b);

inline bool same_place(const SourceLocation& a, const SourceLocation& b) {
  if (std::memcmp(&a, &b, sizeof a) == 0) return true;  // usually a pointer to the compiler's record
  return same_text(a, b);
}

}  // namespace greta::kernels::host
