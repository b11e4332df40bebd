// What an arm's explanation needs of its cases, kept until the arm is done: the evidence of those that
// failed, within a budget of memory.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "probes/explain.hpp"

namespace greta::suites {

class KeptEvidence {
 public:
  // Keeps it when one of `findings` (of this case) fails against the stage's own inputs.
  void add(std::shared_ptr<const probes::Evidence> evidence, std::span<const probes::Finding> findings);
  void add(std::map<std::string, std::shared_ptr<const probes::Tap>> wrong_weights);
  // Explains what fails in these findings (of one arm, in pipeline order), and forgets what was kept.
  std::vector<probes::Explanation> explain(const reference::Model& model,
                                           std::span<const probes::Finding> findings);

 private:
  std::map<std::string, std::shared_ptr<const probes::Evidence>> cases_;  // by prompt
  std::map<std::string, std::shared_ptr<const probes::Tap>> weights_;
  size_t bytes_ = 0;
};

}  // namespace greta::suites
