// From a comparison to a finding: whatever is missing, unreadable or empty ends as INVALID with a sentence
// that says so.
#include <fmt/format.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
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

Finding judged(Finding finding, const Judge::Compare& compare) {
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
  return finding;
}

// Ten numbers of float64 an element, at most: 2.7 GB.
constexpr int64_t kElementsAtOnce = int64_t{1} << 25;

// A comparison in parts of so many elements: their sums are joined in order, whoever makes them.
constexpr size_t kPart = size_t{1} << 17;

Metrics compare_in_parts(std::span<const float> actual, std::span<const double> value,
                         std::span<const double> expected, std::span<const double> certain) {
  std::vector<Piece> pieces(std::max<size_t>((actual.size() + kPart - 1) / kPart, 1));
  tbb::parallel_for(size_t{0}, pieces.size(), [&](size_t i) {
    const size_t begin = i * kPart, count = std::min(kPart, actual.size() - begin);
    pieces[i] = compare_piece(actual.subspan(begin, count), value.subspan(begin, count),
                              expected.subspan(begin, count), certain.subspan(begin, count));
  });
  return join(pieces);
}

}  // namespace

Judge::Judge(std::string probe, std::string mode, std::string prompt, std::string arm) {
  blank_.probe = std::move(probe);
  blank_.mode = std::move(mode);
  blank_.prompt = std::move(prompt);
  blank_.arm = std::move(arm);
}

Finding Judge::blank_at(const Place& place) const {
  Finding finding = blank_;
  finding.phase = place.phase;
  finding.layer = place.layer;
  finding.stage = name_of(place.stage);
  return finding;
}

void Judge::keep(Finding finding) {
  findings_.push_back(std::move(finding));
  ++made_;
}

void Judge::operator()(const Place& place, const Compare& compare) { keep(judged(blank_at(place), compare)); }

void Judge::together(std::span<const Sized> places,
                     const std::function<void(const Place&, Finding&)>& compare) {
  size_t begin = 0;
  while (begin < places.size()) {
    size_t end = begin;
    int64_t elements = 0;
    do elements += places[end++].elements;
    while (end < places.size() && elements + places[end].elements <= kElementsAtOnce);
    std::vector<Finding> found(end - begin);
    tbb::parallel_for(
        begin, end,
        [&](size_t i) {
          // Alone: a thread that waits for a part of this one must not begin another place.
          tbb::this_task_arena::isolate([&] {
            found[i - begin] = judged(blank_at(places[i].place),
                                      [&](Finding& finding) { compare(places[i].place, finding); });
          });
        },
        tbb::simple_partitioner());
    for (auto& finding : found) keep(std::move(finding));
    begin = end;
  }
}

void Judge::weight(const std::string& gguf_name, const Compare& compare) {
  Finding finding = blank_;
  finding.stage = "weight/" + gguf_name;
  keep(judged(std::move(finding), compare));
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
  finding.metrics = compare_in_parts(tap.f32(), value, expected, certain);
  if (tap.stored != DType::f32) finding.metrics.max_ulp = ulp_distance(tap.f32(), value, tap.stored);
  if (!lean.empty()) finding.metrics.bias_z = bias_z(tap.f32(), value, lean);
}

}  // namespace greta::probes
