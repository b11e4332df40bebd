// What follows from a run, and what does not, in sentences: for every report that ends in a conclusion. Each
// is made from findings, controls and explanations alone, and says no more than they do.
#pragma once

#include <vector>

#include "datasets/message.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

struct Conclusion {
  Message verdict;                // what follows for the engine, or that nothing does
  std::vector<Message> arms;      // an arm each: whether it passes, else where it breaks and of what
  std::vector<Message> measured;  // which tensors, by which probes, over what
  std::vector<Message> excluded;  // what the evidence rules out; empty when there is no verdict
  std::vector<Message> open;      // what it does not
};

Conclusion conclusion_of(const RunResult& run);
// One arm's sentence.
Message arm_conclusion(const RunResult& run, const ArmResult& arm);

}  // namespace greta::reports
