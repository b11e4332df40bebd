#include "suites/explain_run.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <limits>

#include "datasets/error.hpp"
#include "probes/evidence_from_trace.hpp"
#include "probes/explain.hpp"
#include "reports/verdicts_json.hpp"
#include "suites/plan.hpp"

namespace greta::suites {
namespace {

using probes::Finding;
using probes::Status;

std::string file_of(const ExplainRun& how, const char* name) {
  const std::string path = (std::filesystem::path(how.directory) / name).string();
  if (std::filesystem::exists(path)) return path;
  if (std::string(name) == "trace.h5" && std::filesystem::exists(how.directory + "/verdicts.json"))
    fail_input(
        "{} has no trace.h5, so there is nothing to try causes on; run the suite again without --no-trace",
        how.directory);
  fail_input("{} is not the directory of a run: it has no {}", how.directory, name);
}

// The trace must be of the very run that the verdicts are of.
void check_same(const reports::RunResult& run, const RunIdentity& trace) {
  if (run.identity.model_digest != trace.model_digest)
    fail_invalid("verdicts.json is of a model with digest {}, trace.h5 of one with {}",
                 run.identity.model_digest, trace.model_digest);
  if (run.identity.created != trace.created)
    fail_invalid("verdicts.json is of a run of {}, trace.h5 of one of {}", run.identity.created,
                 trace.created);
  if (run.identity.prompt_tokens != trace.prompt_tokens)
    fail_invalid("verdicts.json and trace.h5 are of prompts with other tokens");
}

void check_only(const ExplainRun& how, const reports::RunResult& run) {
  if (how.only.empty()) return;
  const bool any = std::any_of(run.findings.begin(), run.findings.end(), [&](const Finding& f) {
    return f.status == Status::fail && matches(how.only, f.key());
  });
  if (!any) fail_usage("no finding that fails has a key that matches '{}'", how.only);
}

// Those of the arms that ran it; of all, in a run of one model.
std::vector<Finding> findings_of(const reports::RunResult& run, const reports::ModelFile& model) {
  std::vector<Finding> out;
  for (const auto& finding : run.findings)
    if (model.arms.empty() ||
        std::find(model.arms.begin(), model.arms.end(), finding.arm) != model.arms.end())
      out.push_back(finding);
  return out;
}

void explain_model(const ExplainRun& how, const TraceReader& trace, const reports::ModelFile& used,
                   reports::RunResult& run) {
  const auto findings = findings_of(run, used);
  const auto file = GgufFile::open(how.model_path.empty() ? used.path : how.model_path);
  const reference::Model model(file);
  const probes::TraceEvidence evidence(trace, file, model, used.digest);
  const probes::RunRecord record{
      .model = model,
      .findings = findings,
      .evidence = [&](const std::string& prompt, const std::string& arm) { return evidence.of(prompt, arm); },
      .weight = [&](const std::string& arm, const std::string& name) { return evidence.weight(arm, name); }};
  probes::ExplainOptions options;
  options.most_tensors = how.most_tensors > 0 ? how.most_tensors : std::numeric_limits<int64_t>::max();
  if (!how.only.empty())
    options.wanted = [&](const Finding& finding) { return matches(how.only, finding.key()); };
  auto explanations = probes::explain(record, options);
  std::move(explanations.begin(), explanations.end(), std::back_inserter(run.explanations));
}

}  // namespace

reports::RunResult explain_run(const ExplainRun& how) {
  reports::RunResult run = reports::read_verdicts_json(file_of(how, "verdicts.json"));
  run.explanations.clear();
  const bool any_fails = std::any_of(run.findings.begin(), run.findings.end(),
                                     [](const Finding& f) { return f.status == Status::fail; });
  if (!any_fails && how.only.empty()) return run;
  check_only(how, run);
  const TraceReader trace(file_of(how, "trace.h5"));
  check_same(run, trace.identity());
  const auto files = reports::model_files(run);
  if (files.size() > 1 && !how.model_path.empty())
    fail_usage("the arms of this run ran {} models; --model names one of them", files.size());
  for (const auto& model : files) explain_model(how, trace, model, run);
  return run;
}

}  // namespace greta::suites
