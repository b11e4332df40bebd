// Causes that no reference can compute, explained from what a probe saw: a race (determinism) and logits that
// the caller did not get as they were written (top1_coherence).
#pragma once

#include <span>
#include <vector>

#include "probes/explanation.hpp"
#include "probes/finding.hpp"

namespace greta::probes {

// One for each stage of `arm` that gave two results on the same inputs. Stages that differ because an input
// did are its consequences.
std::vector<Explanation> explain_races(std::span<const Finding> findings, const std::string& arm);

// One when the caller's logits are not those that the last kernel wrote.
std::vector<Explanation> explain_copies(std::span<const Finding> findings, const std::string& arm);

}  // namespace greta::probes
