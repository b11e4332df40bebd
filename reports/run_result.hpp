// reports/: what a person or CI reads of a run. One input (RunResult), one file a format: terminal,
// verdicts.json, report.md. It may include probes/ and datasets/; it neither prints nor exits: every report
// is a string or a file. To add a format: NAME.hpp/.cpp with a function of RunResult, counts and statuses
// from the verdict logic below, a baseline in NAME_test.cpp, one line in cli/run.cpp.
//
// What a run leaves behind for the reports: identity, plan and findings. `verdicts.json` is this and nothing
// else, so every report can be made again from it.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/message.hpp"
#include "datasets/trace.hpp"
#include "probes/explanation.hpp"
#include "probes/finding.hpp"

namespace greta::reports {

// What a suite says of a figure: it must be so wherever the arm has it, and there must be one.
struct ExpectedFigure {
  std::string figure;  // "v_layout_best"
  std::string in;      // of findings whose key matches (as --only does); empty: of all
  std::string is;      // a word that it must be; empty: it must be a number from at_least to at_most
  double at_least = -std::numeric_limits<double>::infinity(),
         at_most = std::numeric_limits<double>::infinity();
  Message text() const;  // "v_layout_best neither in 'decode0'"
  bool operator==(const ExpectedFigure&) const = default;
};

// What a suite says must come of an arm; empty where it says nothing.
struct Expectation {
  std::string verdict;  // pass | fail | invalid
  std::string first;    // the stage of the first failing finding
  std::string cause;    // of that stage: "weight_layout=col", or "unexplained"
  // All causes that the arm's explanations name, in the order of the pipeline, and no others.
  std::vector<std::string> causes;
  std::string control;  // the one control that refuses the arm
  std::vector<ExpectedFigure> figures;
  bool any() const { return !verdict.empty(); }
  Message text() const;  // "fail, first at q, explained as weight_layout=col"
  bool operator==(const Expectation&) const = default;
};

// A condition on which every conclusion rests: it holds, or there is no verdict.
struct Control {
  std::string name;  // "route", "factor"
  std::string arm;
  probes::Status status = probes::Status::invalid;  // pass or invalid
  Message line;                                     // what was found, one sentence
};

struct ArmResult {
  std::string name;
  probes::Status status = probes::Status::invalid;
  std::string first_failing;  // key() of the first failing finding in pipeline order (call order, layer,
                              // stage); empty: none
  std::string settings;       // "unit=auto shape=auto"
  Expectation expect;
};

// The model of an arm, in a run whose arms run several.
struct ArmModel {
  std::string arm, path, digest;
  std::string quant;  // of the preset
  uint64_t seed = 1;
};

struct RunResult {
  std::string title;  // the suite's
  std::string suite_path;
  RunIdentity identity;          // its model is the first arm's
  std::vector<ArmModel> models;  // one an arm where arms have models of their own; else empty
  std::string reference;         // what computed the reference: "AVX512, FMA; OpenBLAS 0.3.21"
  int layers = 0;
  std::vector<std::string> prompts, phases;
  std::vector<ArmResult> arms;
  std::vector<Control> controls;
  std::vector<probes::Finding> findings;          // in pipeline order
  std::vector<probes::Explanation> explanations;  // of the stages that fail, arm by arm, in pipeline order
  probes::Status status = probes::Status::invalid;
  int64_t planned = 0, compared = 0;  // tensors that the plan expects, and that were compared
  double wall_seconds = 0, engine_seconds = 0, reference_seconds = 0;
  std::string rerun;           // the exact command
  Message interrupted;         // why the run ended early ("disk full: …"); empty: it did not
  ExitCode exit_code() const;  // of the worse of `status` and conclude()
};

// What a finding is worth. A pass with a ratio that is NaN, or above 1 over elements that were compared,
// contradicts itself: invalid.
probes::Status status_of(const probes::Finding&);

// The verdict that the evidence supports, whatever `status` says. PASS needs findings, all of them pass,
// every planned tensor compared, at least one, and a run that was not interrupted; what is missing makes it
// INVALID.
probes::Status conclude(const RunResult&);
probes::Status conclude_arm(const RunResult&, std::string_view arm);

// What the arm is worth to the run: its own verdict or, where the suite expects something of it, whether
// that came. `why` says what was expected and what came, where that differs.
probes::Status outcome_of(const RunResult&, const ArmResult&, Message* why = nullptr);

// The causes that an arm's explanations name, each once, in pipeline order; a stage without a proved cause
// stands as "q unexplained".
std::vector<std::string> causes_of(const RunResult&, std::string_view arm);

// A file that the run used, and the arms that ran it: one for a run of one model, arms then empty.
struct ModelFile {
  std::string path, digest;
  std::vector<std::string> arms;
};
std::vector<ModelFile> model_files(const RunResult&);

// Why there is no verdict, one sentence each, for INVALID runs; empty otherwise.
std::vector<Message> invalid_reasons(const RunResult&);

}  // namespace greta::reports
