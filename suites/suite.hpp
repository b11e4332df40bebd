// suites/: the experiments, and the runner that expands a suite into cases and executes them.
// To add an experiment: write a *.toml here; no code is needed while the existing probes are enough. Its
// keys:
//
//   title, model ("mini", another preset, or a path to a .gguf), quant and seed (of a preset), prompts,
//   phases, phases_if_room, layers,
//   [matrix]  quant = [...], seed = [...]: every arm once for each combination
//   [engine]  what every arm asks of the engine unless it says otherwise: the settings of engine/choices.hpp
//             (greta list settings), such as attention = "fused", kv = "f16"
//   [[arm]]   name, the same settings (unit = "mfma|valu|auto", shape = "gemm|gemv|auto", …), prompts, quant
//             and seed (of a preset), faults = ["q.prefill.weight_layout=col"] (planted; greta list faults),
//             expect = { verdict = "fail", first = "q", cause = "weight_layout=col" }, or causes = [...]: all
//             that the arm's explanations name, and no others, in the order of the pipeline; control =
//             "route": the one control that refuses the arm; figures = [{ figure = "layout", is = "neither",
//             in = "p6_long/*" }] (in: keys as --only takes them; at_least, at_most for numbers) differs_from
//             = "ARM" (its attested kernels must not all be that arm's) keys_window = 64 (probes that look at
//             keys look at the first 64, as the reports' instrument did)
//   [[probe]] use, stages, and the probe's own options (greta list probes)
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/stage.hpp"
#include "reports/run_result.hpp"

namespace greta::suites {

struct Arm {
  std::string name;
  std::string unit = "auto";                  // mfma | valu | auto
  std::string shape = "auto";                 // gemm | gemv | auto
  std::map<std::string, std::string> engine;  // the other settings of engine/choices.hpp that it names
  std::vector<std::string>
      prompts;  // empty: all of the suite's; also when the command line has replaced those
  std::vector<std::string> faults;  // engine/faults/fault.hpp
  reports::Expectation expect;
  std::string differs_from;      // another arm; empty: none
  int64_t keys_window = 0;       // the instrument looks at the first so many keys; 0: at all
  std::string quant;             // of a preset; empty: the suite's
  std::optional<uint64_t> seed;  // of a preset's weights; empty: the suite's
  bool own_model() const { return !quant.empty() || seed; }
  // Error (usage): no such setting or value, with the nearest right one.
  void set(std::string_view setting, std::string_view value);
  std::string get(std::string_view setting) const;  // the default where it names none
  // Stages that the engine does not have under this arm's settings: fused attention leaves no scores.
  bool lacks(Stage) const;
};

struct ProbeUse {
  std::string use;                             // the probe's name
  std::vector<std::string> stages;             // empty: all
  std::map<std::string, std::string> options;  // "mode" -> "chained"; checked against what the probe declares
};

struct Suite {
  std::string path;
  std::string title;
  std::string model = "mini";        // a preset, or a path to a .gguf
  std::string quant = "q4_k_m";      // of a preset
  uint64_t seed = 1;                 // of a preset, and of all that is random in the run
  std::vector<std::string> prompts;  // prompt specs (datasets/prompts.hpp)
  std::vector<std::string> phases;   // prefill, prefill_last, decode0, decode1, …
  std::vector<std::string>
      phases_if_room;       // decode phases that are left out where a prompt fills the context
  std::vector<int> layers;  // empty: all; negative: from the end (-1 the last)
  std::vector<Arm> arms;    // at least one: "auto" when the file names none
  std::vector<ProbeUse> probes;
  // Settings that come from elsewhere than the file ("layers", an option of a probe), and from where: a
  // variable's name.
  std::map<std::string, std::string> overridden;
  // "GRETA_TRACE_ATTN_LAYER: ", the head of a complaint about a setting; empty where the file says it.
  std::string set_by(const std::string& setting) const;
};

// Errors (usage): TOML syntax with line and column; an unknown key, probe, stage, phase or option with the
// nearest right name. (bad_input): no such file.
Suite load_suite(const std::string& path);
Suite parse_suite(std::string_view toml, const std::string& path);

}  // namespace greta::suites
