#include "kernels/hip/host_block.hpp"

#include <algorithm>
#include <bit>
#include <exception>
#include <numeric>
#include <utility>

namespace greta::kernels::host {

constinit thread_local LanePlace place;
constinit thread_local BlockRunner* running = nullptr;

namespace {

constexpr uint64_t kReversed = 1;  // order seed

// splitmix64 (Steele, Lea and Flood 2014).
uint64_t next_random(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

}  // namespace

BlockRunner& BlockRunner::of_this_thread() {
  thread_local BlockRunner runner;
  return runner;
}

BlockRunner::~BlockRunner() {
  ending_ = true;  // each fiber goes on once more, so that ASan can let go of it
  running = this;
  for (Fiber* fiber : free_) {
    fiber_ = fiber;
    leaving(&thread_, *fiber);
    switch_context(&thread_.context, fiber->context);
    arrived(thread_, nullptr);
  }
}

void BlockRunner::begin(const Launch& launch) {
  launch_ = &launch;
  const dim3 d = launch.block;
  lanes_ = static_cast<int>(d.count());
  waves_ = (lanes_ + launch.wave - 1) / launch.wave;
  wave_shift_ = std::countr_zero(static_cast<unsigned>(launch.wave));
  int lane = 0;
  for (uint32_t z = 0; z < d.z; ++z) {
    for (uint32_t y = 0; y < d.y; ++y) {
      for (uint32_t x = 0; x < d.x; ++x, ++lane) {
        lane_[lane].x = static_cast<uint16_t>(x);
        lane_[lane].y = static_cast<uint16_t>(y);
        lane_[lane].z = static_cast<uint16_t>(z);
      }
    }
  }
  place.block_dim = d;
  place.grid_dim = launch.grid;
  place.wave_shift = wave_shift_;
  std::iota(order_.begin(), order_.begin() + lanes_, uint16_t{0});
  std::iota(wave_order_.begin(), wave_order_.begin() + waves_, uint16_t{0});
  if (launch.order_seed != kReversed) return;
  std::reverse(wave_order_.begin(), wave_order_.begin() + waves_);
  for (int w = 0; w < waves_; ++w) {
    std::reverse(order_.begin() + w * launch.wave, order_.begin() + std::min(lanes_, (w + 1) * launch.wave));
  }
}

std::string BlockRunner::run(uint64_t block) {
  const dim3 g = launch_->grid;
  place.block = {static_cast<uint32_t>(block % g.x), static_cast<uint32_t>(block / g.x % g.y),
                 static_cast<uint32_t>(block / g.x / g.y)};
  place.wave_size = launch_->wave;
  random_ = launch_->order_seed * 0x9e3779b97f4a7c15u + block;
  failure_.clear();
  abandoning_ = false;
  left_ = at_wave_ = 0;
  collective_mismatch_ = false;
  completion_ = nullptr;
  for (int i = 0; i < lanes_; ++i) lane_[i].state = State::unstarted;
  shared_.begin_block(launch_->shared_bytes);
  new_interval();

  running = this;
  set_place(next_lane());
  fiber_ = &free_fiber();
  leaving(&thread_, *fiber_);
  switch_context(&thread_.context, fiber_->context);
  arrived(thread_, nullptr);
  place.wave_size = 0;
  if (failure_.empty()) {
    const std::string damage = shared_.damage();
    if (!damage.empty()) fail(damage);
  }
  return std::move(failure_);
}

// A fiber's life: lanes one after another while they come fresh, else it is free until the next.
void BlockRunner::fiber_main() {
  BlockRunner& runner = *running;
  Fiber& self = *runner.fiber_;
  arrived(self, &runner.thread_);
  while (!runner.ending_) {
    const int next = runner.run_fresh_lanes();
    Context to = runner.thread_.context;
    Fiber* fiber = &runner.thread_;
    if (next != kBlockDone) {
      runner.set_place(next);
      to = runner.lane_[next].context;
      fiber = runner.lane_[next].fiber;
    }
    runner.free_.push_back(&self);
    runner.fiber_ = fiber;
    leaving(&self, *fiber);
    switch_context(&self.context, to);
    arrived(self, nullptr);
  }
  leaving(nullptr, runner.thread_);
  switch_context(&self.context, runner.thread_.context);
  __builtin_unreachable();
}

// The plain loop: the lane whose place is set, then those after it, until the next one is no fresh one.
int BlockRunner::run_fresh_lanes() {
  const auto next_after_this = [this] {
    lane_[place.linear].state = State::left;
    ++left_;
    return next_lane();
  };
  try {
    for (;;) {
      launch_->run_lane(launch_->arguments.get());
      const int next = next_after_this();
      if (next == kBlockDone || lane_[next].state != State::unstarted) return next;
      set_place(next);
    }
  } catch (const Abandoned&) {
  } catch (const std::exception& error) {
    fail("lane " + std::to_string(place.linear) + " threw: " + error.what());
  } catch (...) {
    fail("lane " + std::to_string(place.linear) + " threw something that is no std::exception");
  }
  return next_after_this();  // the block is given up: no fresh lane comes
}

Fiber& BlockRunner::free_fiber() {
  if (free_.empty()) return *stacks_.make(&fiber_main);
  Fiber* const fiber = free_.back();
  free_.pop_back();
  return *fiber;
}

// Whose turn it is. All lanes of a wave, and all of a block, go on together or not at all, so a pass over an
// order meets no lane that has left.
int BlockRunner::next_pass() {
  while (!abandoning_) {
    if (at_wave_ > 0) {
      if (at_wave_ == wave_lanes() && !collective_mismatch_) {
        release_wave();
      } else {
        fail_counted(wave_begin_, wave_end_, State::at_wave, collective_,
                     " of wave " + std::to_string(wave_begin_ >> wave_shift_));
      }
    } else if (++wave_cursor_ < waves_) {
      enter_wave();
    } else if (left_ == lanes_) {
      return kBlockDone;
    } else if (at_barrier_ == lanes_ && !barrier_mismatch_) {
      new_interval();
    } else {
      fail_counted(0, lanes_, State::at_barrier, barrier_, "");
    }
    if (cursor_ < wave_end_) return order_[cursor_++];
  }
  return next_abandoned();
}

int BlockRunner::next_abandoned() {
  for (int lane = 0; lane < lanes_; ++lane) {
    if (lane_[lane].state == State::at_barrier || lane_[lane].state == State::at_wave) return lane;
  }
  return kBlockDone;
}

void BlockRunner::new_interval() {
  at_barrier_ = 0;
  barrier_mismatch_ = false;
  wave_cursor_ = 0;
  shuffle(wave_order_.data(), waves_);
  enter_wave();
}

void BlockRunner::enter_wave() {
  wave_begin_ = wave_order_[wave_cursor_] << wave_shift_;
  wave_end_ = std::min(lanes_, wave_begin_ + launch_->wave);
  cursor_ = wave_begin_;
  shuffle(order_.data() + wave_begin_, wave_end_ - wave_begin_);
}

void BlockRunner::release_wave() {
  if (completion_) std::exchange(completion_, nullptr)(deposits_[generation_ & 1], wave_end_ - wave_begin_);
  ++generation_;
  votes_[generation_ & 1] = 0;
  at_wave_ = 0;
  collective_mismatch_ = false;
  cursor_ = wave_begin_;
  shuffle(order_.data() + wave_begin_, wave_end_ - wave_begin_);
}

void BlockRunner::shuffle(uint16_t* begin, int count) {
  if (launch_->order_seed <= kReversed) return;
  for (int i = count - 1; i > 0; --i) {
    std::swap(begin[i], begin[(next_random(random_) >> 32) * (i + 1) >> 32]);
  }
}

}  // namespace greta::kernels::host
