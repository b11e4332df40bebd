// What compare() leaves to who knows more of a tensor: the type that it is stored in, the mean error that its
// arithmetic declares.
#include <cmath>

#include "datasets/error.hpp"
#include "probes/compare.hpp"

namespace greta::probes {
namespace {

// Monotonic in the value, as an integer of the type's own width; +0 and -0 both give 0.
int64_t ordered(uint64_t bits, int sign_bit) {
  const auto magnitude = static_cast<int64_t>(bits & ((uint64_t{1} << sign_bit) - 1));
  return bits >> sign_bit ? -magnitude : magnitude;
}

int64_t place_of(double value, DType type) {
  const auto x = static_cast<float>(value);
  if (type == DType::f32) return ordered(std::bit_cast<uint32_t>(x), 31);
  return ordered(type == DType::f16 ? f32_to_f16(x) : f32_to_bf16(x), 15);
}

template <typename R>
int64_t largest_distance(std::span<const float> actual, std::span<const R> reference, DType stored) {
  if (actual.size() != reference.size())
    fail_internal("compared spans differ in length: {} actual, {} reference", actual.size(),
                  reference.size());
  int64_t largest = 0;
  for (size_t i = 0; i < actual.size(); ++i)
    if (std::isfinite(actual[i]) && std::isfinite(reference[i]))
      largest = std::max(largest, std::abs(place_of(actual[i], stored) - place_of(reference[i], stored)));
  return largest;
}

}  // namespace

int64_t ulp_distance(std::span<const float> actual, std::span<const double> reference, DType stored) {
  return largest_distance(actual, reference, stored);
}
int64_t ulp_distance(std::span<const float> actual, std::span<const float> other, DType stored) {
  return largest_distance(actual, other, stored);
}

double bias_z(std::span<const float> actual, std::span<const double> reference,
              std::span<const double> lean) {
  if (reference.size() != actual.size() || lean.size() != actual.size())
    fail_internal("compared spans differ in length: {} actual, {} reference, {} mean errors", actual.size(),
                  reference.size(), lean.size());
  double count = 0, sum = 0, squares = 0, declared = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double beyond = actual[i] - reference[i] - lean[i];
    if (!std::isfinite(beyond)) continue;
    ++count;
    sum += beyond;
    squares += beyond * beyond;
    declared += lean[i];
  }
  if (count < 2) return 0;
  const double mean = sum / count, excess = std::abs(mean) - 0.5 * std::abs(declared / count);
  if (!(excess > 0)) return 0;
  const double variance = std::max(0.0, squares - count * mean * mean) / (count - 1);
  return std::copysign(excess / std::sqrt(variance / count), mean);
}

}  // namespace greta::probes
