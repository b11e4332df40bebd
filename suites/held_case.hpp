// One case of the real engine whose evidence stays in memory, so that its tensors can be asked about, or
// changed, one at a time.
#pragma once

#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/tokenizer.hpp"
#include "probes/evidence.hpp"
#include "probes/smallest_noticed.hpp"
#include "suites/plan.hpp"

namespace greta::suites {

class HeldCase {
 public:
  // Runs the engine once over the suite's first prompt under its first arm, with every tensor that the plan
  // asks for. Errors: those of GgufFile::open, load_prompt, make_plan and the engine.
  HeldCase(const std::string& model_path, const Suite& suite, const std::string& device = "host");

  probes::Phase& phase(const std::string& name);  // Missing
  probes::Evidence& evidence() { return evidence_; }
  const reference::Config& config() const { return model_.config(); }

 private:
  GgufFile file_;
  reference::Model model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Prompt prompt_;
  Plan plan_;
  probes::Evidence evidence_;
};

// The smallest change of one element that stage_parity notices, for every stage (of a layer drawn at random)
// in prefill and in decode0, in the order of the forward pass. `prompt` as in a suite.
struct Sensitivity {
  probes::Smallest prefill, decode0;
};
std::vector<Sensitivity> sensitivity(HeldCase& held, uint64_t seed);
// The case that sensitivity() asks for.
Suite sensitivity_suite(const std::string& prompt);
// A line a stage: the change, and as a share of the tensor's RMS, in prefill and in decode0.
std::string sensitivity_table(const std::vector<Sensitivity>& rows);

}  // namespace greta::suites
