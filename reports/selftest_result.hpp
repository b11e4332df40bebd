// What greta selftest found out about the harness itself: which planted faults it saw, where it put them and
// what it called them; what it said of engines without faults; what the field's usual rules would have seen.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "probes/explanation.hpp"
#include "probes/finding.hpp"

namespace greta::reports {

// A planted fault in one phase of one prompt.
struct SelftestCell {
  std::string prompt, phase;
  bool active = false;     // it struck a launch whose output was judged here; false: inert
  bool detected = false;   // a finding that is not a PASS
  bool localised = false;  // and the first failing stage is one that the fault strikes
  std::string first;       // the first failing stage
  std::set<std::string>
      refused_by;  // usual rules that refuse a tensor here which they let pass in a clean run
};

struct SelftestFault {
  std::string fault;   // as planted: "q.weight_layout=col"
  std::string cause;   // "weight_layout=col"
  std::string stages;  // that it strikes: "q", "weight/…attn_q…"
  std::vector<SelftestCell> cells;
  probes::Answer answer = probes::Answer::unexplained;
  std::vector<std::string> causes;  // that fit everywhere
  double margin = 0;                // of the best cause that does not
  std::string tells;                // indistinguishable: what would tell them apart
  std::string conclusion;
  std::string trouble;  // why it could not be planted or judged; empty: it could

  int64_t active() const;
  bool detected() const;           // in every cell where it is active, and it is active somewhere
  bool localised() const;          // likewise
  bool explained() const;          // as its own cause, and no other
  bool indistinguishable() const;  // its own cause is among those that fit
  bool explained_wrongly() const;  // causes fit, and its own is not among them
};

// The smallest change of one element that stage_parity notices.
struct SelftestSmallest {
  std::string stage, phase;
  double change = 0, share = 0;  // absolute, and of the tensor's RMS
};

struct SelftestResult {
  std::string model, digest, greta_version, build, created, command_line;
  uint64_t seed = 0;
  std::vector<SelftestFault> faults;
  std::vector<std::string> left_out;  // causes that cannot go wrong on this model, with the reason
  std::vector<SelftestSmallest> smallest;
  std::map<std::string, int64_t> rule_false_alarms;  // tensors of the clean run that a usual rule refuses
  int64_t clean_tensors = 0;                         // judged in that run
  int64_t clean_runs = 0, clean_fail = 0, clean_invalid = 0;
  std::vector<std::string> false_alarms;  // "run 17 (q8_0, seed 5, …): FAIL p/…"
  double seconds = 0;
  std::string interrupted;

  // Model, program and time of the first run.
  void identify(const RunIdentity& identity);
  // Faults that were detected, localised, explained; of those that were planted.
  int64_t planted() const;
  int64_t count(bool (SelftestFault::*what)() const) const;
  // pass: everything planted is detected and localised, nothing explained wrongly, at least 90 % explained
  // and the rest indistinguishable, no false alarm. invalid: interrupted, or a fault that was nowhere active.
  probes::Status status() const;
  std::vector<std::string> shortfalls() const;  // one sentence each; empty: pass
};

inline constexpr double kExplainedShare = 0.9;

std::string selftest_terminal(const SelftestResult&);
std::string selftest_json(const SelftestResult&);
// The confusion matrix as a picture of its own: planted stage by first failing stage.
std::string selftest_svg(const SelftestResult&);

}  // namespace greta::reports
