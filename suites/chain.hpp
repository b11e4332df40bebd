// The chained reference of one case: from the tokens on, with the contracts that the engine attested in the
// same calls.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "probes/probe.hpp"
#include "suites/plan.hpp"

namespace greta::suites {

// Called for each stage of each phase that the case asks for; prefill_last comes as the last row of prefill.
using ChainedUse = std::function<void(const probes::ChainedView&)>;

// Keeps the last rows in `evidence` and returns why a phase has no chained reference ("decode0" -> "the
// engine declared no contract …").
std::map<std::string, Message> run_chains(const Case& item, probes::Evidence& evidence,
                                          const ChainedUse& use);

}  // namespace greta::suites
