// The harness held against itself: each fault of the catalogue planted in turn, on every prompt and phase,
// and engines without faults on models that nobody has seen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reports/selftest_result.hpp"

namespace greta::suites {

struct SelftestOptions {
  std::string model_path;
  std::string device = "host";                // engine::Settings::device
  std::map<std::string, std::string> engine;  // settings of engine/choices.hpp, in every arm
  std::string scratch_dir;                    // for the runs' own files; emptied afterwards
  uint64_t seed = 1;                          // picks the stages that faults strike, and all that is random
  std::vector<std::string> faults;            // empty: every cause of the catalogue once
  bool every_stage = false;                   // every cause at every stage that it can break
  int clean = 0;                              // runs of engines without faults
  std::function<void(const std::string& line)> progress;  // after each fault and each tenth clean run
};

// The faults that would be planted on this model: one a cause (or one a cause and stage). `left_out`: causes
// that cannot go wrong with on this model, each with the reason.
std::vector<std::string> selftest_faults(const SelftestOptions& options, std::vector<std::string>& left_out);

// Plants the faults. Error (usage): one that is not known, or that breaks no stage. Never throws once the
// first run has started: `interrupted` says why it ended early.
reports::SelftestResult selftest(const SelftestOptions& options);

}  // namespace greta::suites
