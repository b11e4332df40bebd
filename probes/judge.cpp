// From a comparison to a finding: whatever is missing, unreadable or empty ends as INVALID with a sentence
// that says so.
#include <fmt/format.h>

#include <utility>

#include "datasets/error.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

void settle(Finding& finding) {
  if (finding.status != Status::invalid || !finding.message.empty()) return;  // the probe has decided
  const Metrics& m = finding.metrics;
  if (m.count == 0) {
    finding.message = say("nothing was compared");
    return;
  }
  finding.status = m.pass() ? Status::pass : Status::fail;
  if (m.pass()) return;
  finding.message =
      say("{} of {} elements are out of bound; worst at {}: {:.9g}, reference {:.9g} (bound {:.3g}, "
          "ratio {:.3g})",
          m.out_of_bound, m.count, to_string(finding.worst_index()), m.worst_actual, m.worst_expected,
          m.worst_bound, m.bound_ratio);
}

}  // namespace

Judge::Judge(std::string probe, std::string mode, std::string prompt, std::string arm) {
  blank_.probe = std::move(probe);
  blank_.mode = std::move(mode);
  blank_.prompt = std::move(prompt);
  blank_.arm = std::move(arm);
}

void Judge::judge(Finding finding, const Compare& compare) {
  try {
    compare(finding);
    settle(finding);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (
      const std::exception& error) {  // Missing, a contract that cannot be read, tensors of different sizes
    finding.status = Status::invalid;
    finding.metrics = {};
    finding.message = message_of(error);
  }
  findings_.push_back(std::move(finding));
  ++made_;
}

void Judge::operator()(const Place& place, const Compare& compare) {
  Finding finding = blank_;
  finding.phase = place.phase;
  finding.layer = place.layer;
  finding.stage = name_of(place.stage);
  judge(std::move(finding), compare);
}

void Judge::weight(const std::string& gguf_name, const Compare& compare) {
  Finding finding = blank_;
  finding.stage = "weight/" + gguf_name;
  judge(std::move(finding), compare);
}

std::vector<Finding> Judge::take() { return std::exchange(findings_, {}); }

void describe_with(Finding& finding, const Tap& tap, int64_t reference_values) {
  finding.kernel = tap.kernel;
  finding.contract = tap.contract;
  finding.shape = tap.tensor->shape();
  if (tap.tensor->size() != reference_values)
    throw Missing(say("the engine's tensor has shape {}, the reference has {} values",
                      to_string(finding.shape), reference_values));
}

void compare_with(Finding& finding, const Tap& tap, std::span<const double> value,
                  std::span<const double> expected, std::span<const double> certain,
                  std::span<const double> lean) {
  describe_with(finding, tap, static_cast<int64_t>(value.size()));
  finding.metrics = compare(tap.f32(), value, expected, certain);
  if (tap.stored != DType::f32) finding.metrics.max_ulp = ulp_distance(tap.f32(), value, tap.stored);
  if (!lean.empty()) finding.metrics.bias_z = bias_z(tap.f32(), value, lean);
}

}  // namespace greta::probes
