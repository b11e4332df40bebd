// Why a stage is wrong, when that can be proved. Every hypothesis that applies to a first-failing stage is
// held against the whole tensor in local mode, in every place where that stage failed; one that is outside
// its bound in any of them is excluded.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "probes/evidence.hpp"
#include "probes/finding.hpp"

namespace greta::probes {

enum class Answer { explained, indistinguishable, unexplained };
std::string_view name_of(Answer);

// One hypothesis (or a pair) against the failing places of one stage.
struct Trial {
  std::vector<std::string> causes;  // "weight_layout=col"; two for a pair
  double ratio = 0;      // worst error / bound over the places; at most 1 fits; infinite: NaN or Inf elsewhere
  std::string place;     // where that was: "p4_sys/decode0/layer_03/q"
  bool applies = true;   // false: nothing to vary here, or evidence that is not there
  std::string note;      // why it does not apply
  std::string text() const;  // "weight_layout=col", "tile_store=transposed + head_scale=applied"
};

struct Explanation {
  std::string arm, stage;           // the stage, or "weight/<gguf name>"
  std::vector<std::string> places;  // finding keys that this explains, in pipeline order
  std::string scope;                // "prefill only, all layers", "decode0, layer 3": where it fails and where it does not
  Answer answer = Answer::unexplained;
  std::vector<Trial> fitting;       // explained: one; indistinguishable: two or more
  std::vector<Trial> excluded;      // smallest misfit first
  std::vector<Trial> not_applicable;
  std::string tells;                // indistinguishable: which data would tell them apart
  std::string conclusion() const;   // one or two sentences for a person; never calls a misfit a cause
};

// Where a case's evidence comes from: the run in memory, or its trace.
struct CaseEvidence {
  const Evidence* evidence;
  const std::vector<Finding>* findings;  // of this case
};

// One explanation for each first-failing stage of the arm: in each phase the first stage in pipeline order
// that fails stage_parity in local mode, and every further stage whose failure is not behind it (with local
// references a later stage fails on its own account). Weights come before stages: a stage that fails only
// because it multiplies with a wrong weight is listed under the weight.
std::vector<Explanation> explain(std::span<const CaseEvidence> cases);

}  // namespace greta::probes
