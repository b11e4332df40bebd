// Once an arm: the engine's own view of every weight against the reference's dequantisation.
#pragma once

#include <map>
#include <memory>
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
  // trace: also write them to the trace file, where they are small enough; those that fail are written in any
  // case.
  void run(EnginePort& engine, bool trace);
  std::vector<probes::Finding> findings();  // also after run() threw; the checking thread must be idle
  // Those that failed, as many as memory has room for.
  std::map<std::string, std::shared_ptr<const probes::Tap>> failed() const { return failed_; }
  double engine_seconds() const { return engine_seconds_; }

 private:
  bool asked(const std::string& weight) const;
  void check(const std::string& weight, const std::shared_ptr<const probes::Tap>& delivered, bool traced);
  void trace(const std::string& weight, const probes::Tap& tap, const std::string& arm) const;

  Bench& bench_;
  std::string arm_;
  const std::vector<std::vector<std::string>>& expected_;  // a row a probe
  std::vector<ReadyProbe> probes_;
  std::vector<probes::Finding> found_;
  std::map<std::string, std::shared_ptr<const probes::Tap>> failed_;
  size_t failed_bytes_ = 0;
  double engine_seconds_ = 0;
};

}  // namespace greta::suites
