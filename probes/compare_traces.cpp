#include "probes/compare_traces.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "datasets/error.hpp"

namespace greta::probes {
namespace {

Finding finding_of(const TraceKey& key) {
  return {.probe = "compare",
          .prompt = key.prompt,
          .arm = key.arm,
          .phase = key.phase,
          .layer = key.layer,
          .stage = key.prompt == "weights" ? "weight/" + key.stage : key.stage};
}

Finding missing(const TraceKey& key, std::string_view where) {
  Finding finding = finding_of(key);
  finding.message = say("{} is only in trace {}", key.path(), where);
  return finding;
}

void check_same_run(const RunIdentity& a, const RunIdentity& b) {
  if (a.model_digest != b.model_digest)
    fail_invalid("the traces are of different models: A has digest {} ({}), B has {} ({})", a.model_digest,
                 a.model_path, b.model_digest, b.model_path);
  for (const auto& [prompt, tokens] : a.prompt_tokens)
    if (const auto other = b.prompt_tokens.find(prompt);
        other != b.prompt_tokens.end() && other->second != tokens)
      fail_invalid("prompt {} has different tokens in the two traces ({} in A, {} in B)", prompt,
                   tokens.size(), other->second.size());
}

void check_tokens_known(const std::string& prompt, const RunIdentity& a, const RunIdentity& b) {
  if (prompt == "weights") return;
  for (const auto* identity : {&a, &b})
    if (!identity->prompt_tokens.contains(prompt))
      fail_invalid(
          "trace {} does not say which tokens prompt {} has, so nothing shows that both ran the same",
          identity == &a ? "A" : "B", prompt);
}

Finding invalid(Message message) {
  Finding finding{.probe = "compare"};
  finding.message = std::move(message);
  return finding;
}

// What must agree before any number is looked at; empty when it does.
Message difference(const TraceRecord& a, const TraceRecord& b) {
  if (a.tensor->shape() != b.tensor->shape())
    return say("shape {} in A, {} in B", to_string(a.tensor->shape()), to_string(b.tensor->shape()));
  if (a.tensor->dtype() != b.tensor->dtype())
    return say("type {} in A, {} in B", name_of(a.tensor->dtype()), name_of(b.tensor->dtype()));
  if (a.axes != b.axes) return say("axes {} in A, {} in B", a.axes, b.axes);
  if (a.window != b.window) return say("window '{}' in A, '{}' in B", a.window, b.window);
  return {};
}

std::vector<float> widened(const Tensor& tensor) {
  const auto values = tensor.to_f64();
  return {values.begin(), values.end()};
}

// The distance of `value` to the next larger magnitude of its type (explicit mantissa bits; smallest normal
// exponent).
double ulp_of(float value, DType dtype) {
  const int mantissa = dtype == DType::f32 ? 23 : dtype == DType::f16 ? 10 : 7;
  const int smallest = dtype == DType::f16 ? -14 : -126;
  if (!std::isfinite(value)) return 0;
  const int exponent = value == 0 ? smallest : std::max(std::ilogb(value), smallest);
  return std::ldexp(1.0, exponent - mantissa);
}

std::vector<float> tolerances(std::span<const float> reference, DType dtype,
                              const TraceTolerance& tolerance) {
  if (tolerance.ulp == 0 && tolerance.rel == 0) return {};
  std::vector<float> out;
  out.reserve(reference.size());
  for (const float value : reference) {
    const double relative = std::isfinite(value) ? tolerance.rel * std::fabs(value) : 0;
    out.push_back(static_cast<float>(std::max(relative, tolerance.ulp * ulp_of(value, dtype))));
  }
  return out;
}

Finding compare_pair(const TraceRecord& a, const TraceRecord& b, const TraceTolerance& tolerance) {
  Finding finding = finding_of(a.key);
  finding.shape = a.tensor->shape();
  finding.kernel = a.kernel == b.kernel ? a.kernel : fmt::format("{} | {}", a.kernel, b.kernel);
  finding.contract = a.contract == b.contract ? a.contract : fmt::format("{} | {}", a.contract, b.contract);
  finding.reason = tolerance.text();
  if (a.positions != b.positions)
    fail_invalid("{} is of different positions in the two traces", a.key.path());
  if (const Message what = difference(a, b); !what.empty()) {
    finding.message = say("{} cannot be compared: {}", a.key.path(), what);
    return finding;
  }
  if (a.tensor->size() == 0) {
    finding.message = say("{} is empty in both traces", a.key.path());
    return finding;
  }
  const auto x = widened(*a.tensor), y = widened(*b.tensor);
  finding.metrics = compare(x, y, tolerances(y, b.tensor->dtype(), tolerance));
  if (a.tensor->dtype() != DType::f32)
    finding.metrics.max_ulp = ulp_distance(x, std::span<const float>(y), a.tensor->dtype());
  finding.status = finding.metrics.pass() ? Status::pass : Status::fail;
  if (finding.status == Status::fail)
    finding.message =
        say("{} of {} elements of {} differ by more than {}; the worst at {}: {} in A, {} in B",
            finding.metrics.out_of_bound, finding.metrics.count, a.key.path(), tolerance.text(),
            to_string(finding.worst_index()), finding.metrics.worst_actual, finding.metrics.worst_expected);
  return finding;
}

}  // namespace

TraceTolerance TraceTolerance::parse(std::string_view text) {
  TraceTolerance tolerance;
  if (text.empty() || text == "bitwise") return tolerance;
  const auto equals = text.find('=');
  const auto name = text.substr(0, equals);
  double* value = name == "ulp" ? &tolerance.ulp : name == "rel" ? &tolerance.rel : nullptr;
  if (value && equals != std::string_view::npos) {
    const auto digits = text.substr(equals + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
    if (error == std::errc() && end == digits.data() + digits.size() && *value >= 0 && std::isfinite(*value))
      return tolerance;
  }
  fail_usage("a tolerance is written ulp=N or rel=X with a number that is not negative, not '{}'", text);
}

std::string TraceTolerance::text() const {
  if (ulp > 0) return fmt::format("ulp={}", ulp);
  if (rel > 0) return fmt::format("rel={}", rel);
  return "bitwise";
}

std::vector<Finding> compare_traces(const TraceReader& a, const TraceReader& b, const TraceComparison& how) {
  check_same_run(a.identity(), b.identity());
  std::vector<Finding> findings;
  std::set<TraceKey> paired;
  for (const auto& key : a.keys()) {
    TraceKey other = key;
    if (const auto arm = how.arms.find(key.arm); arm != how.arms.end()) other.arm = arm->second;
    if (!b.contains(other)) {
      findings.push_back(missing(key, "A"));
      continue;
    }
    check_tokens_known(key.prompt, a.identity(), b.identity());
    paired.insert(other);
    findings.push_back(compare_pair(a.read(key), b.read(other), how.tolerance));
  }
  for (const auto& key : b.keys())
    if (!paired.contains(key)) findings.push_back(missing(key, "B"));
  if (paired.empty())
    findings.push_back(invalid(say("the traces have no tensor in common, so there is nothing to compare")));
  for (const auto* trace : {&a, &b})
    if (!trace->complete())
      findings.push_back(
          invalid(say("trace {} was cut short (complete = 0); run it again", trace == &a ? "A" : "B")));
  return findings;
}

}  // namespace greta::probes
