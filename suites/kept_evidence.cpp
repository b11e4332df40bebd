#include "suites/kept_evidence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "suites/interrupt.hpp"

namespace greta::suites {
namespace {

using probes::Evidence;
using probes::Finding;
using probes::Missing;
using probes::Tap;

// A case beyond this is not explained in the run itself: greta explain reads it from the trace.
constexpr size_t kBudget = size_t{1} << 30;
// Of a stage, in the run itself: layers and phases enough to tell causes apart.
constexpr int64_t kMostTensors = 32;

}  // namespace

void KeptEvidence::add(std::shared_ptr<const Evidence> evidence, std::span<const Finding> findings) {
  const bool needed = std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
    return f.status == probes::Status::fail && f.probe == "stage_parity" && f.mode == "local";
  });
  if (!needed) return;
  const size_t bytes = evidence->bytes();
  if (bytes_ + bytes > kBudget) return;
  bytes_ += bytes;
  cases_[evidence->prompt] = std::move(evidence);
}

void KeptEvidence::add(std::map<std::string, std::shared_ptr<const Tap>> wrong_weights) {
  weights_ = std::move(wrong_weights);
}

std::vector<probes::Explanation> KeptEvidence::explain(const reference::Model& model,
                                                       std::span<const Finding> findings) {
  const probes::RunRecord record{
      .model = model,
      .findings = findings,
      .evidence =
          [&](const std::string& prompt, const std::string& arm) {
            const auto kept = cases_.find(prompt);
            if (kept == cases_.end())
              throw Missing(
                  say("{}/{} is over the memory that a run keeps; greta explain reads it from the trace",
                      prompt, arm));
            return kept->second;
          },
      .weight =
          [&](const std::string&, const std::string& name) {
            const auto kept = weights_.find(name);
            if (kept == weights_.end())
              throw Missing(
                  say("weight {} is over the memory that a run keeps; greta explain reads it from "
                      "the trace",
                      name));
            return *kept->second;
          }};
  probes::ExplainOptions options;
  options.most_tensors = kMostTensors;
  options.check_interrupt = [] { InterruptGuard::check(); };
  auto out = probes::explain(record, options);
  *this = {};
  return out;
}

}  // namespace greta::suites
