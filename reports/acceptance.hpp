// The acceptance of a fix: the findings of one arm before it, and of one after it, place by place.
//
// Accepted: everything of `after` passes, in the places where `before` was judged. Refused: something of it
// fails. No verdict: a side is INVALID, or the two did not judge the same places of the same model, prompts
// and token ids, so that nothing follows from holding them against each other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "datasets/message.hpp"
#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

struct AcceptanceSide {
  std::string given;  // "runs/b3_25:baseline", as it was typed
  RunResult run;
  std::string arm;  // empty: every arm of the run, each held against the one of its name
};

// A place that both sides judged, or a bar: the worst of its places.
struct Judged {
  probes::Status status = probes::Status::pass;
  double ratio = 0, mae = 0;
  int64_t failing = 0;
  void add(const probes::Finding& finding);
};

enum class Change { fixed, broken, smaller, larger, same };  // of the status, else of the ratio
Message name_of(Change);

struct Bar {
  std::string probe, stage;  // "stage_parity (local)", "q"; "weights"; "" for what is no stage
  Judged before, after;
  int64_t places = 0;
  Change change() const;
};

struct ChangedPlace {
  std::string key;  // of the finding after
  Judged before, after;
};

// What a probe measured in one place or part of it, before and after.
struct FigurePair {
  std::string prompt, phase, of;
  std::string stage;  // empty where every figure of the table is of one stage only
  int layer = -1;
  std::vector<std::optional<probes::Figure>> before, after;  // as many as the table has names
};
struct FigurePairs {
  std::string probe;
  std::vector<std::string> names;  // the columns, in order of appearance
  std::vector<FigurePair> rows;
};

enum class Decision { accepted, refused, none };

struct Acceptance {
  AcceptanceSide before, after;
  Decision decision = Decision::none;
  std::vector<Message> invalid;   // why there is no verdict, one sentence each
  std::vector<Message> controls;  // what was held equal before anything was compared
  int64_t places = 0;
  std::vector<Bar> bars;  // in the order of the pipeline, probe by probe
  std::vector<FigurePairs> figures;
  std::vector<ChangedPlace> fixed, broken, still_failing;
  ExitCode exit_code() const;
};

Acceptance accept(AcceptanceSide before, AcceptanceSide after);

std::string acceptance_terminal(const Acceptance&, Language, bool colours);
std::string acceptance_markdown(const Acceptance&, Language);
// schema "greta/acceptance"; every bar, figure and changed place.
std::string acceptance_json(const Acceptance&);

}  // namespace greta::reports
