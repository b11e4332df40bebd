// Host machine: the collectives that lanes call, and the errors when lanes miss one another.
#include <cstring>
#include <map>
#include <stdexcept>

#include "kernels/hip/host_block.hpp"

namespace greta::kernels::host {

extern constinit thread_local BlockRunner* running;

namespace {

std::string line_of(const SourceLocation& where) {
  const std::string file = where.file_name();
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line());
}

[[noreturn]] void outside_a_kernel(const char* what) {
  throw std::logic_error(std::string(what) + " outside a kernel");
}

inline BlockRunner& inside_kernel(const char* what) {
  if (place.wave_size == 0) [[unlikely]]
    outside_a_kernel(what);
  return *running;
}

}  // namespace

bool same_text(const SourceLocation& a, const SourceLocation& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

void block_rendezvous(SourceLocation where) { inside_kernel("__syncthreads").at_barrier(where); }

void wave_rendezvous(SourceLocation where) { inside_kernel("wave_sync").at_wave_collective(where); }

uint64_t wave_exchange(uint64_t bits, int from, SourceLocation where) {
  BlockRunner& runner = inside_kernel("wave_shuffle");
  uint64_t* const deposits = runner.deposits();
  deposits[lane_id()] = bits;
  runner.at_wave_collective(where);
  return from < runner.wave_lanes() ? deposits[from] : ~uint64_t{0};
}

uint64_t wave_vote(bool yes, SourceLocation where) {
  BlockRunner& runner = inside_kernel("wave_ballot");
  uint64_t& votes = runner.votes();
  votes |= uint64_t{yes} << lane_id();
  runner.at_wave_collective(where);
  return votes;
}

void wave_complete(const void* deposit, WaveCompletion complete, SourceLocation where) {
  BlockRunner& runner = inside_kernel("mma");
  runner.deposits()[lane_id()] = reinterpret_cast<uintptr_t>(deposit);
  runner.complete_with(complete);
  runner.at_wave_collective(where);
}

void* shared_array(const SharedSite* site, size_t bytes) {
  return inside_kernel("GRETA_SHARED").shared().array(site, bytes);
}
void* dynamic_shared() { return inside_kernel("GRETA_DYNAMIC_SHARED").shared().dynamic(); }

void BlockRunner::fail(const std::string& sentence) {
  abandoning_ = true;
  cursor_ = wave_end_;  // no more turns
  if (!failure_.empty()) return;
  std::string kernel = launch_->kernel;
  if (kernel.starts_with('(') && kernel.ends_with(')')) kernel = kernel.substr(1, kernel.size() - 2);
  if (kernel.starts_with("HIP_KERNEL_NAME(")) kernel = kernel.substr(16, kernel.size() - 17);
  const auto& b = place.block;
  failure_ = "kernel " + kernel + ", block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " +
             std::to_string(b.z) + "): " + sentence;
}

std::string BlockRunner::doing(int lane) const {
  switch (lane_[lane].state) {
    case State::left:
      return "have left";
    case State::at_barrier:
      return "wait at the barrier at " + line_of(lane_[lane].where);
    case State::at_wave:
      return "wait at the wave collective at " + line_of(lane_[lane].where);
    default:
      return "have not run";
  }
}

// "barrier at rmsnorm.hip:41 reached by 192 of 256 lanes; 64 lanes have left"
void BlockRunner::fail_counted(int begin, int end, State state, const SourceLocation& first,
                               const std::string& scope) {
  int arrived = 0;
  std::map<std::string, int> others;
  for (int lane = begin; lane < end; ++lane) {
    if (lane_[lane].state == state && same_place(lane_[lane].where, first)) {
      ++arrived;
    } else {
      ++others[doing(lane)];
    }
  }
  std::string sentence = (state == State::at_wave ? "wave collective at " : "barrier at ") + line_of(first) +
                         " reached by " + std::to_string(arrived) + " of " + std::to_string(end - begin) +
                         " lanes" + scope;
  for (const auto& [what, count] : others) sentence += "; " + std::to_string(count) + " lanes " + what;
  fail(sentence);
}

}  // namespace greta::kernels::host
