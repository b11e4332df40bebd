// Hypotheses held against failing tensors: who fits, who is excluded and where. What explain() builds on; it
// knows nothing of arms, phases or reports.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/cause.hpp"
#include "probes/explanation.hpp"
#include "reference/reference.hpp"

namespace greta::probes {

using Causes = std::span<const Cause* const>;

// A tensor that is out of bound, with all that a hypothesis may read.
struct Subject {
  std::string name;            // "p4_sys/decode0/layer_03/q"
  std::vector<int64_t> shape;  // of `output`
  std::span<const float> output;
  std::function<reference::Bounded()> right;  // as it should have been
  // As it would be with these causes; empty with `why` when they have nothing to vary. Throws what evidence
  // that is not there throws.
  std::function<std::optional<reference::Bounded>(Causes, Message* why)> suppose;
  std::shared_ptr<const void> holds;  // what the others point into
};

// One of them, not read yet. Opening throws Missing when the evidence is not there.
struct Failing {
  std::string key;  // of its finding
  std::function<Subject()> open;
};

struct Search {
  std::vector<Trial> fitting, excluded, not_applicable;
  int64_t tried = 0;               // tensors that hypotheses were held against
  int64_t pairs = 0;               // pairs of causes that were tried
  std::vector<Message> not_tried;  // why a tensor was not: "KEY: did not come from the engine"
  Answer answer() const;
};

struct SearchHooks {
  std::function<void()> check_interrupt;  // between trials; throws to end the search
  // Each tensor that was looked at beside what it should have been, for localisation.
  std::function<void(const Subject&, const reference::Bounded& right)> seen;
};

// Every cause, alone, against every tensor in the order given; when none fits all of them, every pair. A
// cause falls at the first tensor that is out of its bound or in which it has nothing to vary. A tensor that
// is in bound after all is evidence of something else and is not tried.
Search search(std::span<const Failing> tensors, Causes causes, const SearchHooks& hooks);

}  // namespace greta::probes
