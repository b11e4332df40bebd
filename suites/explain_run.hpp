// A finished run's explanations, from its directory: verdicts.json says what failed, trace.h5 with what, and
// the model what should have been.
#pragma once

#include <cstdint>
#include <string>

#include "reports/run_result.hpp"

namespace greta::suites {

struct ExplainRun {
  std::string directory;
  std::string model_path;    // empty: where the run found it
  std::string only;          // stages with a failing finding whose key matches; nothing does: Error (usage)
  int64_t most_tensors = 0;  // of a stage; 0: all that fail
};

// The run as it was recorded, with its explanations anew. Errors: (bad_input) no run, no trace, a trace that
// is damaged; (invalid) verdicts, trace and model are not of one another.
reports::RunResult explain_run(const ExplainRun& how);

}  // namespace greta::suites
