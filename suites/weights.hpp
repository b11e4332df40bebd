// Once an arm: the engine's own view of every weight against the reference's dequantisation.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "suites/case_run.hpp"

namespace greta::suites {

// The weights of a Llama model that this file holds (rope_freqs is no weight of a product, and an engine may
// only derive from it).
std::vector<std::string> weight_names(const GgufFile& file, const reference::Config& config);

class WeightRun {
 public:
  WeightRun(Bench& bench, const std::string& arm);
  void run(EnginePort& engine,
           bool trace);  // trace: also write them to the trace file, where they are small enough
  std::vector<probes::Finding> findings();  // also after run() threw; the checking thread must be idle
  double engine_seconds() const { return engine_seconds_; }

 private:
  bool asked(const std::string& weight) const;
  void check(const std::string& weight, const probes::Tap* delivered);
  void trace(const std::string& weight, const probes::Tap& tap) const;

  Bench& bench_;
  const std::vector<std::vector<std::string>>& expected_;  // a row a probe
  std::vector<ReadyProbe> probes_;
  double engine_seconds_ = 0;
};

}  // namespace greta::suites
