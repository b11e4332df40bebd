// One hypothesis held against one tensor that is out of bound. What searches are made of.
#pragma once

#include <vector>

#include "datasets/message.hpp"
#include "probes/compare.hpp"
#include "probes/trials.hpp"

namespace greta::probes {

enum class Outcome {
  fits,
  misfits,
  idle,     // the causes have nothing to vary in this tensor
  unjudged  // the evidence that they need is not there
};

struct Attempt {
  Outcome outcome;
  double ratio = 0;
  Message why;  // idle, unjudged
};

// How far the tensor is from what is predicted. Throws where they are not of one shape.
Metrics held_against(const Subject& subject, const reference::Bounded& predicted);

Attempt attempt(const Subject& subject, Causes causes);

// A pair whose one half has nothing to vary in a tensor predicts there what the other half does: `acting`
// then holds that half alone, else the pair.
struct PairAttempt : Attempt {
  std::vector<const Cause*> acting;
};
PairAttempt attempt_pair(const Subject& subject, const std::vector<const Cause*>& pair);

// One cause, or a pair.
PairAttempt attempt_set(const Subject& subject, const std::vector<const Cause*>& causes);

}  // namespace greta::probes
