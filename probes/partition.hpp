// The failing tensors of a stage, told apart by what acts in each: two causes of one stage need not strike in
// the same places (a tile that is stored wrongly in long calls alone, a factor per head in all).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "probes/trials.hpp"

namespace greta::probes {

// Groups of tensors (by index, each in one group, the groups in the order of their first tensors), such that
// the members of each share one cause or pair that fits them: as few groups as a greedy cover finds, and a
// pair only for tensors that no single cause fits. Empty unless every tensor can be looked at and fits
// something: a part that fits among parts that do not is a coincidence more easily. Also empty when one group
// has them all.
std::vector<std::vector<size_t>> partition(std::span<const Failing> tensors, Causes causes,
                                           const SearchHooks& hooks);

}  // namespace greta::probes
