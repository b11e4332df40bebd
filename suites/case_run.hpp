// One case from the first engine call to its findings: the engine runs, the checking thread follows a step
// behind.
#pragma once

#include <memory>
#include <vector>

#include "datasets/trace.hpp"
#include "suites/checker.hpp"
#include "suites/meter.hpp"
#include "suites/passes.hpp"
#include "suites/plan.hpp"

namespace greta::suites {

// What outlives a case.
struct Bench {
  const Plan& plan;
  const reference::Model& model;
  TraceWriter* trace = nullptr;  // null: none is kept
  Checker& checker;
  Meter& meter;
  uint64_t seed = 1;
};

// The probes of the plan, each with what it has found so far. Only the checking thread uses them while the
// engine runs.
struct ReadyProbe {
  std::unique_ptr<probes::AnyProbe> probe;
  probes::Judge judge;
};
std::vector<ReadyProbe> ready_probes(const Plan& plan, const std::string& prompt, const std::string& arm);

class CaseRun {
 public:
  CaseRun(Bench& bench, const Case& item);

  // `repeat`: an engine that runs the lanes in another order (null unless the case asks for repeats).
  void run(EnginePort& engine, EnginePort* repeat, const Message& repeat_note);
  // What was found, also after run() threw; the checking thread must be idle.
  std::vector<probes::Finding> findings();
  double engine_seconds() const { return engine_seconds_; }
  // What the engine delivered; it may outlive this.
  std::shared_ptr<const probes::Evidence> evidence() const { return evidence_; }

 private:
  void step_done(const probes::Phase& phase, int step, probes::Run run);
  void check_step(const probes::Phase& phase, int step, probes::Run run);
  void release(const std::string& phase, int step);
  void check_chains();
  void check_case();
  void count_compared();    // tells the meter
  void require_complete();  // what was planned and did not come

  Bench& bench_;
  const Case& case_;
  const std::shared_ptr<probes::Evidence> evidence_ = std::make_shared<probes::Evidence>();
  std::vector<ReadyProbe> probes_;
  std::vector<probes::Finding> found_;
  std::map<std::string, Message> chain_failures_;
  int64_t counted_ = 0;
  double engine_seconds_ = 0;
};

}  // namespace greta::suites
