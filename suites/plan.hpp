// The plan: every case (prompt × arm), every tensor that the engine must deliver and every finding that must
// come of it, listed before anything runs. Whatever is planned and does not come is INVALID.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/prompts.hpp"
#include "probes/probe.hpp"
#include "suites/suite.hpp"

namespace greta::suites {

// A probe of the suite, made ready.
struct PlannedProbe {
  const probes::ProbeEntry* entry = nullptr;
  probes::Options options;
  probes::Needs needs;
  std::string mode;  // the option "mode", when there is one
};

// A pass is a chain of calls over one cache: A prefill; B prefill of S-1 tokens, then decode0, decode1, …; C
// token by token, then decode0_stepwise; for each size of chunks the prompt in such chunks
// (probes/chunks.hpp).
struct Case {
  Prompt prompt;
  Arm arm;
  std::vector<std::string> phases;  // that are judged or read, in the order of the calls
  bool prefill = false, decode = false, stepwise = false;
  int decodes = 0;  // steps of pass B: decode0 to decode(N-1)
  bool chained = false, repeats = false, untapped = false, selections = false, proofs = false;
  std::vector<int64_t> chunks;                            // sizes
  std::vector<std::vector<probes::Place>> expected;       // a row a probe: the places it must report on
  std::map<probes::Place, std::vector<int64_t>> tensors;  // what must come from the engine, with shapes
  std::set<std::string> chained_phases;                   // whose chained reference is asked for
  int chained_steps = 0;                                  // how far it has to go (see step_of)
  bool has(std::string_view phase) const;
  int64_t findings() const;
};

struct Plan {
  std::vector<PlannedProbe> probes;
  std::vector<std::string> phases;  // the suite's, in the order of the calls
  std::vector<Case> cases;          // arm by arm
  std::map<std::string, std::vector<std::vector<std::string>>>
      weights;           // arm -> a row a probe: the weights it must report on
  int64_t findings = 0;  // of the whole run
  int64_t tensors = 0;   // judged tensors, weights included
  int positions = 0;     // that the largest case needs in the cache
};

// `weights`: the GGUF names of the model's weights. `only`: a glob (with * or ?) or a substring of finding
// keys; empty: all. Errors: (bad_input) an empty prompt or one with more tokens than the context; (usage) a
// decode phase beyond the context, a layer that the model does not have, `only` that matches nothing.
Plan make_plan(const Suite& suite, const reference::Config& config, const std::vector<Prompt>& prompts,
               const std::vector<std::string>& weights, std::string_view only);

// The steps in which a phase's stages become complete: 0 embed, 1 to layers: a layer, layers + 1: final_norm
// and logits.
int step_of(const probes::Place& place, int64_t layers);

using probes::matches;

}  // namespace greta::suites
