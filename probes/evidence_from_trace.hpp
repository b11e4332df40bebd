// The evidence of a run, rebuilt from its trace: the same phases over the same caches, each tensor read when
// it is asked for.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "datasets/gguf.hpp"
#include "datasets/trace.hpp"
#include "probes/evidence.hpp"

namespace greta::probes {

class TraceEvidence {
 public:
  // `digest`: of the model that the arms in question ran, in a run of several; empty: the trace's. Error
  // (invalid): `file` is another one. All three outlive this, and the evidence outlives none.
  TraceEvidence(const TraceReader& trace, const GgufFile& file, const reference::Model& model,
                const std::string& digest = {});

  // A case's phases as the runner made them (tokens, positions, the calls behind each cache). Throws Missing
  // when the trace has no tensor of it. decodeN's token for N > 0 is what the logits before it say; -1 when
  // the trace does not have these.
  std::shared_ptr<const Evidence> of(const std::string& prompt, const std::string& arm) const;
  // The engine's view of a weight: the arm's own, else that of the run's first arm (if that runs this model),
  // which passed where the arm's own is not kept. Throws Missing.
  Tap weight(const std::string& arm, const std::string& gguf_name) const;

 private:
  Tap read(const TraceKey& key) const;

  const TraceReader& trace_;
  const reference::Model& model_;
  bool of_first_arm_ = true;
  std::map<std::pair<std::string, std::string>, std::set<std::string>> phases_;  // of a prompt and an arm
};

}  // namespace greta::probes
