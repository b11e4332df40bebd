// What an engine asks of the machine under it beside memory, streams and kernels.
#pragma once

#include <cstdint>
#include <string>

#include "engine/engine.hpp"
#include "kernels/hip/hip.hpp"

namespace greta::engine::inline GRETA_MACHINE {

class Machine {
 public:
  // Takes the device for the calling thread.
  explicit Machine(const Settings& settings);
  // Before each call of the engine: it may be another thread's, and other engines may have run since.
  // `awaits_copies`: false has the host machine leave copies undone until somebody waits for them.
  void use(bool awaits_copies) const;
  // For another thread of the engine's, which copies and launches nothing.
  void use_here() const;
  // How much memory taps may wait in before the kernels wait for them.
  int64_t staging_bytes() const;
  // A copy that no cache of this machine holds.
  int64_t large_copy_bytes() const;
  std::string device() const;
  std::string backend() const;

 private:
  Settings settings_;
  int index_ = 0;
  std::string name_;
};

}  // namespace greta::engine::inline GRETA_MACHINE
