// What a PASS of stage_parity is worth: the smallest change of one element that the probe notices, found by
// asking the probe itself, on evidence that is held in memory.
#pragma once

#include <cstdint>
#include <random>

#include "probes/probe.hpp"

namespace greta::probes {

struct Smallest {
  Place place;
  int64_t at = -1;   // flat index of the element that was moved
  double bound = 0;  // its `expected` bound
  double change =
      0;           // the smallest |change| that made the finding FAIL; infinite: none up to 2^20 bounds did
  double rms = 0;  // of the tensor's finite elements
  double share() const { return change / rms; }
};

// What stage_parity (local) says of a stage when element `at` has this value instead. Afterwards the evidence
// is as it was. Throws Missing when the stage's tensor did not come.
Finding judged_with(const Evidence& evidence, Phase& phase, int layer, Stage stage, size_t at, float value);

// The nearest float that is at least `change` away from x, and not x, on the side of `sign` (1 or -1).
float moved(float x, double change, double sign);

// Moves one element, chosen at random among those that have a bound to be moved by (a masked score is -inf, a
// masked weight exactly 0), by twice its bound (further, should that pass), then halves the interval between
// what passes and what fails `steps` times. `change` is thus at most (bound or one ulp)·2^(1-steps) above
// what the probe notices. Evidence and model must hold the stage's operands. Throws Missing when they do not,
// and when no element can be moved or the tensor fails as it is.
Smallest smallest_noticed(const Evidence& evidence, Phase& phase, int layer, Stage stage,
                          std::mt19937_64& random, int steps = 6);

}  // namespace greta::probes
