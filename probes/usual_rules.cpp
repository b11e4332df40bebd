#include "probes/usual_rules.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "datasets/error.hpp"

namespace greta::probes {
namespace {

using Reference = std::span<const double>;

// torch's isclose computes in the tensors' dtype.
bool assert_close(std::span<const float> actual, Reference reference, float rtol) {
  constexpr float kAtol = 1e-5f;
  for (size_t i = 0; i < actual.size(); ++i) {
    const float want = static_cast<float>(reference[i]);
    if (actual[i] == want) continue;  // equal infinities among them
    const float error = std::fabs(actual[i] - want), allowed = kAtol + std::fabs(rtol * want);
    if (!(std::isfinite(error) && error <= allowed)) return false;
  }
  return true;
}

bool infinite_or_largest(float x) { return std::isinf(x) || x == FLT_MAX || x == -FLT_MAX; }

bool nmse_at_most(std::span<const float> actual, Reference reference, double most) {
  double difference = 0, power = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const float a = actual[i], b = static_cast<float>(reference[i]);
    if (std::isnan(a) || std::isnan(b)) return false;
    if (infinite_or_largest(a) != infinite_or_largest(b)) return false;
    if (infinite_or_largest(a) && std::signbit(a) != std::signbit(b)) return false;
    difference += (a - b) * (a - b);
    power += a * a;
  }
  const double nmse = difference / power;
  const bool fails = nmse > most;  // as written there: NaN does not fail
  return !fails;
}

bool cosine_at_least(std::span<const float> actual, Reference reference, double least) {
  constexpr double kEpsilon = 1e-8;
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i], b = static_cast<float>(reference[i]);
    aa += a * a;
    bb += b * b;
    ab += a * b;
  }
  // std::max(NaN, x) is NaN: its first argument.
  return ab / (std::max(std::sqrt(aa), kEpsilon) * std::max(std::sqrt(bb), kEpsilon)) >= least;
}

bool one_bound(std::span<const float> actual, Reference reference, Reference certain) {
  const double bound = certain.empty() ? 0 : *std::max_element(certain.begin(), certain.end());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]) || !std::isfinite(reference[i])) return false;
    if (std::fabs(actual[i] - reference[i]) > bound) return false;
  }
  return true;
}

}  // namespace

bool RuleVerdicts::operator[](size_t rule) const {
  const bool all[] = {close_f32, close_f16, close_bf16, nmse, cosine, gamma};
  static_assert(std::size(all) == std::size(kUsualRules));
  if (rule >= std::size(all)) fail_internal("there is no usual rule {}", rule);
  return all[rule];
}

RuleVerdicts usual_rules(std::span<const float> actual, std::span<const double> reference,
                         std::span<const double> certain) {
  if (actual.size() != reference.size() || actual.size() != certain.size())
    fail_internal("usual rules over {}, {} and {} elements", actual.size(), reference.size(), certain.size());
  return {.close_f32 = assert_close(actual, reference, 1.3e-6f),
          .close_f16 = assert_close(actual, reference, 1e-3f),
          .close_bf16 = assert_close(actual, reference, 1.6e-2f),
          .nmse = nmse_at_most(actual, reference, 5e-4),
          .cosine = cosine_at_least(actual, reference, 0.999),
          .gamma = one_bound(actual, reference, certain)};
}

}  // namespace greta::probes
