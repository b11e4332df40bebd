// The reference's deliberate variants: what a stage would hold if a known cause (datasets/cause.hpp) had been
// at work. A hypothesis explains an output only when the output is inside the variant's own error bound; the
// smaller of two misfits explains nothing.
//
// To add a hypothesis: a row of the catalogue in datasets/cause.cpp, and how it varies the stage in
// reference/hypotheses/.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/cause.hpp"
#include "datasets/message.hpp"
#include "reference/reference.hpp"

namespace greta::reference {

// The causes that have a hypothesis for this stage, in the catalogue's order. `op`: as in operands_of; a
// fused attention may go wrong as any of the stages in it, and in how it reads the cache.
std::vector<const Cause*> hypotheses_for(Stage stage, std::string_view op = {});
std::vector<const Cause*> weight_hypotheses();

// What was observed, as in local mode. `output` is the engine's own tensor: a hypothesis with a free
// parameter (a factor per head) fits it to `output`, and none reads it for anything else.
struct Observation {
  const Model& model;
  Stage stage;
  int layer;
  const Call& call;
  const Contract& contract;
  const Fetch& fetch;
  const Matrix& output;
  OwnWeights own_weights = {};
};

// The stage as it would be if all of `causes` had been at work at once (one, or a pair). Empty where they
// cannot be told from a right stage or do not go together: nothing to vary in this model or call (one KV
// head, no position beyond the window, a weight of another type), or two values for one thing. `why` then
// says so in a few words. What a Fetch throws passes through: the evidence that the hypothesis needs is not
// there.
std::optional<Bounded> suppose(const Observation&, std::span<const Cause* const> causes,
                               Message* why = nullptr);

// The same for the engine's view of a weight.
std::optional<Bounded> suppose_weight(const Model&, const std::string& gguf_name, const Contract&,
                                      std::span<const Cause* const> causes, Message* why = nullptr);

}  // namespace greta::reference
