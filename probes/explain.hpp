// Why a stage is wrong, when that can be proved. Every hypothesis that applies to a failing stage is held
// against the whole tensor in local mode, in every place where that stage failed; one that is outside its
// bound in any of them, or that has nothing to vary in one, is excluded.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/cause.hpp"
#include "probes/evidence.hpp"
#include "probes/explanation.hpp"
#include "probes/finding.hpp"
#include "reference/hypothesis.hpp"

namespace greta::probes {

// What a run left behind: in memory, or in its trace (probes/evidence_from_trace.hpp).
struct RunRecord {
  const reference::Model& model;
  std::span<const Finding> findings;  // of the whole run, in pipeline order
  // A case's tensors; asked for anew at each place, so that what it loaded goes with it. Throws Missing.
  std::function<std::shared_ptr<const Evidence>(const std::string& prompt, const std::string& arm)> evidence;
  // The engine's view of a weight. Throws Missing.
  std::function<Tap(const std::string& arm, const std::string& gguf_name)> weight;
};

// Where hypotheses come from; tests put their own in place of reference/'s.
struct Hypotheses {
  std::function<std::vector<const Cause*>(Stage, std::string_view op)> of_stage = reference::hypotheses_for;
  std::function<std::vector<const Cause*>()> of_weights = reference::weight_hypotheses;
  std::function<std::optional<reference::Bounded>(const reference::Observation&,
                                                  std::span<const Cause* const>, Message* why)>
      suppose = reference::suppose;
  std::function<std::optional<reference::Bounded>(const reference::Model&, const std::string& gguf_name,
                                                  const reference::Contract&, std::span<const Cause* const>,
                                                  Message* why)>
      suppose_weight = reference::suppose_weight;
};

struct ExplainOptions {
  int64_t most_tensors =
      64;  // of a stage that are tried, the most telling first; an explanation says how many
  std::function<bool(const Finding&)>
      wanted;                             // stages with no such failing finding are left out; null: none is
  std::function<void()> check_interrupt;  // called between trials; throws to end the search
  Hypotheses hypotheses;
};

// One explanation for each stage of each arm that fails stage_parity in local mode, in pipeline order: with
// local references a stage fails on its own account. Weights come first, and the products with a wrong weight
// are its consequences. A stage that gives two results on the same inputs (determinism), and logits that the
// caller did not get as they were written (top1_coherence), are explained from what those probes saw. An arm
// that fails in none of these ways gets one unexplained answer that says so.
std::vector<Explanation> explain(const RunRecord& run, const ExplainOptions& options = {});

}  // namespace greta::probes
