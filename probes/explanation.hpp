// What a search for the cause of a failing stage came to: the part that reports print and verdicts.json
// keeps. How it is searched for is in probes/explain.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/message.hpp"

namespace greta::probes {

enum class Answer {
  explained,          // one cause predicts what the engine delivered, inside its own error bound, everywhere
  indistinguishable,  // two or more do, on this data
  unexplained         // none does: the smaller of two misfits is not a cause
};
std::string_view name_of(Answer);

// One hypothesis (or a pair) against the failing places of one stage.
struct Trial {
  std::vector<std::string> causes;  // "weight_layout=col"; two for a pair
  double ratio = 0;     // worst error / bound over the places, or at the first place out of bound; at most 1
                        // fits; infinite: NaN or Inf elsewhere, or a failure that the cause leaves right
  std::string place;    // where that was: "p4_sys/decode0/layer_03/q"
  bool applies = true;  // false: nothing to vary here, or evidence that is not there
  Message note;         // why it does not apply, or what contradicts it
  std::string text() const;  // "weight_layout=col", "tile_store=transposed + head_scale=applied"
};

struct Explanation {
  std::string arm;
  std::string stage;                      // "q", or the first of the weights: "weight/<gguf name>"
  std::vector<std::string> places;        // finding keys that this explains, in pipeline order
  std::vector<std::string> consequences;  // finding keys that fail only because of these
  Message scope;     // "prefill only (decode0 passes); all 4 layers": where it fails and where it does not
  Message observed;  // what the answer rests on when that is no residual: "the same inputs gave two results"
  Message note;      // what was not looked at, and why
  int64_t tensors = 0, tried = 0;  // failing tensors, and those that the hypotheses were held against
  int64_t pairs = 0;               // pairs of causes that were tried, when no single one fits
  Answer answer = Answer::unexplained;
  std::vector<Trial> fitting;         // explained: one; indistinguishable: two or more
  std::vector<Trial> excluded;        // smallest misfit first; of the pairs only the best few
  std::vector<Trial> not_applicable;  // not tested, each with its note
  Message tells;                      // indistinguishable: which data would tell them apart

  double margin() const;       // the smallest misfit of what is excluded; infinite when nothing is
  Message conclusion() const;  // one or two sentences for a person; never calls a misfit a cause
};

}  // namespace greta::probes
