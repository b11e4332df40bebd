#include "probes/attempt.hpp"

#include <limits>
#include <new>

#include "probes/evidence.hpp"

namespace greta::probes {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

Metrics held_against(const Subject& subject, const reference::Bounded& bounded) {
  const auto span = [](const reference::Matrix& m) {
    return std::span<const double>(m.data(), static_cast<size_t>(m.size()));
  };
  if (bounded.value.size() != static_cast<Eigen::Index>(subject.output.size()))
    throw Missing(
        say("{} has {} values, the reference {}", subject.name, subject.output.size(), bounded.value.size()));
  return compare(subject.output, span(bounded.value), span(bounded.expected), span(bounded.certain));
}

Attempt attempt(const Subject& subject, Causes causes) {
  try {
    Message why;
    const auto bounded = subject.suppose(causes, &why);
    if (!bounded) return {Outcome::idle, kInfinity, why.empty() ? say("nothing to vary") : why};
    const Metrics metrics = held_against(subject, *bounded);
    // NaN where the cause predicts none, or the reverse, is no fit: pass() and the ratio say so, each alone.
    const bool fits = metrics.pass() && metrics.bound_ratio <= 1;
    return {fits ? Outcome::fits : Outcome::misfits, metrics.bound_ratio, {}};
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // Missing, or a contract that is not of this stage
    return {Outcome::unjudged, kInfinity, message_of(error)};
  }
}

PairAttempt attempt_pair(const Subject& subject, const std::vector<const Cause*>& pair) {
  const PairAttempt both{attempt(subject, pair), pair};
  if (both.outcome != Outcome::idle) return both;
  const Attempt first = attempt(subject, Causes(pair).first(1)),
                second = attempt(subject, Causes(pair).last(1));
  if ((first.outcome == Outcome::idle) == (second.outcome == Outcome::idle)) return both;
  return first.outcome == Outcome::idle ? PairAttempt{second, {pair.back()}}
                                        : PairAttempt{first, {pair.front()}};
}

PairAttempt attempt_set(const Subject& subject, const std::vector<const Cause*>& causes) {
  return causes.size() > 1 ? attempt_pair(subject, causes) : PairAttempt{attempt(subject, causes), causes};
}

}  // namespace greta::probes
