// Runs a suite: engine with taps, trace, reference and probes overlapping, findings, reports' input.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reports/run_result.hpp"
#include "suites/engine_port.hpp"
#include "suites/meter.hpp"
#include "suites/suite.hpp"

namespace greta::suites {

struct RunOptions {
  std::string model_path;                         // already resolved to a file
  std::map<std::string, std::string> arm_models;  // the files of arms with a quant or seed of their own
  std::string out_dir;                            // created; Error (usage) when it cannot be written
  std::string command_line;                       // for the identity
  std::string only;  // a substring or glob of finding keys; matches nothing: Error (usage)
  // engine::Settings::device of each engine; on more than one, cases run at the same time.
  std::vector<std::string> devices = {"host"};
  int wave = 64;
  int threads = 0;
  std::optional<uint64_t> order_seed;
  bool keep_trace = true;
  bool last_save =
      true;  // false: the caller writes the whole run's verdicts.json, at the same time as its reports
  decltype(engine::Settings::on_strike) on_strike;  // for a self-test
  std::function<void(const Progress&)> progress;    // called from one thread at a time
};

// Never throws once the first case has started: what went wrong is in RunResult::interrupted (SIGINT and
// SIGTERM too), and what was found so far is kept. Leaves trace.h5 and verdicts.json in out_dir;
// verdicts.json is written anew (atomically) after the first case, and after others as often as a fiftieth of
// the time allows; a process that is killed loses the cases since.
reports::RunResult run(const Suite& suite, const RunOptions& options);
// The same on engines of the caller's.
reports::RunResult run(const Suite& suite, const RunOptions& options, const MakeEngine& make);

}  // namespace greta::suites
