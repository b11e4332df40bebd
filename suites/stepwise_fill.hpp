// The rows that a token-by-token fill writes to the cache, a call a row, gathered into one tensor a layer for
// k_rope and for v.
#pragma once

#include <functional>
#include <map>

#include "engine/engine.hpp"
#include "probes/evidence.hpp"

namespace greta::suites {

class StepwiseFill {
 public:
  explicit StepwiseFill(probes::Phase& phase) : phase_(phase) {}
  void add(int64_t row, const engine::TapRecord& record);
  void finish(const std::function<void(int layer, Stage, probes::Tap)>& use);

 private:
  struct Rows {
    Tensor tensor;
    probes::Tap tap;
  };
  probes::Phase& phase_;
  std::map<std::pair<int, Stage>, Rows> rows_;
};

}  // namespace greta::suites
