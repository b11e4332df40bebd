// Blocks of 1024 elements: a vector pass makes the sums and notes whether the block holds anything that only
// the exact scan may judge (NaN, Inf, a ratio that could be the largest yet). Sums go to 16 lanes, element i
// to lane i % 16 whichever pass it takes, so the result depends on the values alone.
#include "probes/compare.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "datasets/error.hpp"

namespace greta::probes {
namespace {

constexpr size_t kLanes = 16, kBlock = 1024;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// GCC's and Clang's portable vectors: they become whatever the machine has. Two of them make the 16 lanes.
constexpr size_t kHalf = kLanes / 2;
using F64 = double __attribute__((vector_size(8 * kHalf)));
using I64 = int64_t __attribute__((vector_size(8 * kHalf)));
using F32 = float __attribute__((vector_size(4 * kHalf)));
using I32 = int32_t __attribute__((vector_size(4 * kHalf)));
using U32 = uint32_t __attribute__((vector_size(4 * kHalf)));

template <typename V>
[[gnu::always_inline]] inline V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
[[gnu::always_inline]] inline F64 load_f64(const double* from) { return load<F64>(from); }
[[gnu::always_inline]] inline F64 load_f64(const float* from) {
  return __builtin_convertvector(load<F32>(from), F64);
}
[[gnu::always_inline]] inline F64 absolute(F64 x) {
  return (F64)((I64)x & std::numeric_limits<int64_t>::max());
}

// Monotonic in the value, so that a difference counts the floats between two; +0 and -0 both give 0.
[[gnu::always_inline]] inline I32 ordered(F32 x) {
  const I32 bits = (I32)x, sign = bits >> 31;
  return ((bits & 0x7fffffff) ^ sign) - sign;
}
// At most 2 * 0x7f800000, so that a signed difference can wrap: its bits as unsigned are right.
[[gnu::always_inline]] inline U32 ulp_distance(F32 a, F32 b) {
  const I32 x = ordered(a), y = ordered(b);
  return x > y ? (U32)x - (U32)y : (U32)y - (U32)x;
}

struct Sums {
  F64 error{}, magnitude{}, square{}, reference{}, actual{}, product{}, max_abs{};
  U32 max_ulp{};
};

// What the scan alone changes. An element that is under every threshold changes nothing but the sums.
// A threshold is a hair under the best ratio so far: rounding of threshold * bound must not hide a larger
// ratio.
struct Maxima {
  double threshold = 0, certain_threshold = 0, rel_threshold = 0;
  int64_t finite = 0;
};

double hair_under(double best) { return std::min(best * (1 - 0x1p-50), DBL_MAX); }

template <typename R>
struct Operands {
  const float* actual;
  const R* reference;
  const R* expected;
  const R* certain;  // may be the same as expected
};

enum class Look { nothing, ratios, non_finite };

// Elements, finite ones, that are under every maximum.
template <bool HasCertain, typename R>
[[gnu::always_inline]] inline I64 settled_lanes(const Operands<R>& at, size_t i, const Maxima& maxima,
                                                F64 magnitude, F64 r) {
  const F64 bound = load_f64(at.expected + i);
  I64 settled = magnitude <= bound * maxima.threshold;
  settled &= ~((I64)bound >> 63);  // 0 * negative would pass
  settled &= magnitude <= absolute(r) * maxima.rel_threshold;
  if constexpr (HasCertain) settled &= magnitude <= load_f64(at.certain + i) * maxima.certain_threshold;
  return settled;
}

template <bool Masked, bool HasCertain, typename R>
[[gnu::always_inline]] inline void step(const Operands<R>& at, size_t i, const Maxima& maxima, Sums& s,
                                        I64& settled) {
  F32 a_f32 = load<F32>(at.actual + i);
  F64 a = __builtin_convertvector(a_f32, F64), r = load_f64(at.reference + i);
  F32 r_f32 = __builtin_convertvector(r, F32);
  if constexpr (Masked) {
    const I64 finite = (absolute(a) <= DBL_MAX) & (absolute(r) <= DBL_MAX);
    const I32 finite_f32 = __builtin_convertvector(finite, I32);
    a = (F64)((I64)a & finite);
    r = (F64)((I64)r & finite);
    a_f32 = (F32)((I32)a_f32 & finite_f32);
    r_f32 = (F32)((I32)r_f32 & finite_f32);
  }
  const F64 error = a - r, magnitude = absolute(error);
  s.error += error;
  s.magnitude += magnitude;
  s.square += error * error;
  s.reference += r * r;
  s.actual += a * a;
  s.product += a * r;
  s.max_abs = magnitude > s.max_abs ? magnitude : s.max_abs;
  const U32 ulp = ulp_distance(a_f32, r_f32);
  s.max_ulp = ulp > s.max_ulp ? ulp : s.max_ulp;
  if constexpr (Masked) return;
  settled &= settled_lanes<HasCertain>(at, i, maxima, magnitude, r);
}

// `Masked`: elements that are not finite on both sides count as 0 and 0.
template <bool Masked, bool HasCertain, typename R>
[[gnu::noinline]] Look accumulate(const Operands<R>& at, size_t size, const Maxima& maxima,
                                  Sums (&total)[2]) {
  Sums low = total[0], high = total[1];
  I64 settled = I64{} - 1;
  for (size_t i = 0; i < size; i += kLanes) {
    step<Masked, HasCertain>(at, i, maxima, low, settled);
    step<Masked, HasCertain>(at, i + kHalf, maxima, high, settled);
  }
  int64_t all_settled = -1;
  double magnitude = 0;  // NaN or Inf as soon as one error is
  for (size_t lane = 0; lane < kHalf; ++lane) {
    all_settled &= settled[lane];
    magnitude += low.magnitude[lane] + high.magnitude[lane];
  }
  if (!(magnitude <= DBL_MAX)) return Look::non_finite;
  total[0] = low;
  total[1] = high;
  return all_settled ? Look::nothing : Look::ratios;
}

double ratio_of(double magnitude, double bound) {
  if (magnitude == 0 && bound >= 0) return 0;
  return bound > 0 ? magnitude / bound
                   : kInfinity;  // a bound of 0, a negative or a NaN one: nothing is inside it
}

// The exact judgement of one element, for what the vector pass cannot know.
template <typename R>
void judge(const Operands<R>& at, size_t i, int64_t index, Metrics& m, Maxima& maxima) {
  const double a = at.actual[i], r = at.reference[i], magnitude = std::fabs(a - r);
  double ratio, certain_ratio;
  if (std::isfinite(a) && std::isfinite(r)) {
    const bool out = !(magnitude <= at.expected[i]);
    m.out_of_bound += out;
    m.out_of_certain += out && !(magnitude <= at.certain[i]);
    ratio = ratio_of(magnitude, at.expected[i]);
    certain_ratio = ratio_of(magnitude, at.certain[i]);
    if (r != 0) m.max_rel = std::max(m.max_rel, magnitude / std::fabs(r));
  } else {
    --maxima.finite;
    m.nan_count += std::isnan(a);
    m.inf_count += std::isinf(a);
    if (a == r) return;  // the same infinity
    // What IEEE arithmetic makes of the engine's own NaN is no fault of this stage: the one that made it
    // fails.
    if (std::isnan(a) && std::isnan(r)) return;
    ++m.non_finite_mismatch;
    ++m.out_of_bound;
    ++m.out_of_certain;
    ratio = certain_ratio = m.max_abs = kInfinity;
  }
  m.certain_ratio = std::max(m.certain_ratio, certain_ratio);
  if (ratio > m.bound_ratio || m.worst < 0) {
    m.bound_ratio = ratio;
    m.worst = index;
    m.worst_actual = a;
    m.worst_expected = r;
    m.worst_bound = at.expected[i];
  }
  maxima.threshold = std::min(1.0, hair_under(m.bound_ratio));  // what is out of bound is always counted here
  maxima.certain_threshold = hair_under(m.certain_ratio);
  maxima.rel_threshold = hair_under(m.max_rel);
}

// Judges the elements of those vectors that hold one which is not settled. Reads whole vectors: a tail is
// padded.
template <bool HasCertain, typename R>
void scan(const Operands<R>& at, size_t size, int64_t first, Metrics& m, Maxima& maxima) {
  for (size_t begin = 0; begin < size; begin += kHalf) {
    const F64 r = load_f64(at.reference + begin), magnitude = absolute(load_f64(at.actual + begin) - r);
    const I64 settled = settled_lanes<HasCertain>(at, begin, maxima, magnitude, r) & (magnitude <= DBL_MAX);
    int64_t all = m.worst < 0 ? 0 : -1;
    for (size_t lane = 0; lane < kHalf; ++lane) all &= settled[lane];
    if (all) continue;
    for (size_t i = begin; i < std::min(begin + kHalf, size); ++i)
      judge(at, i, first + static_cast<int64_t>(i), m, maxima);
  }
}

template <bool HasCertain, typename R>
void block(const Operands<R>& at, size_t padded, size_t size, int64_t first, Metrics& m, Maxima& maxima,
           Sums (&sums)[2]) {
  const Look look = accumulate<false, HasCertain>(at, padded, maxima, sums);
  if (look == Look::non_finite) accumulate<true, HasCertain>(at, padded, maxima, sums);
  if (look != Look::nothing || m.worst < 0) scan<HasCertain>(at, size, first, m, maxima);
}

// The lanes in order, 0 to 15.
double total(const Sums (&sums)[2], F64 Sums::*member) {
  double sum = 0;
  for (const Sums& half : sums)
    for (size_t lane = 0; lane < kHalf; ++lane) sum += (half.*member)[lane];
  return sum;
}

Piece piece_of(const Sums (&sums)[2], const Maxima& maxima, Metrics m) {
  for (const Sums& half : sums)
    for (size_t lane = 0; lane < kHalf; ++lane) {
      m.max_abs = std::max(m.max_abs, half.max_abs[lane]);
      m.max_ulp = std::max(m.max_ulp, static_cast<int64_t>(half.max_ulp[lane]));
    }
  return {.metrics = m,
          .finite = maxima.finite,
          .error = total(sums, &Sums::error),
          .magnitude = total(sums, &Sums::magnitude),
          .square = total(sums, &Sums::square),
          .reference = total(sums, &Sums::reference),
          .actual = total(sums, &Sums::actual),
          .product = total(sums, &Sums::product)};
}

Metrics finish(const Piece& all) {
  Metrics m = all.metrics;
  const double n = static_cast<double>(all.finite);
  if (all.finite > 0) {
    m.mae = all.magnitude / n;
    m.rmse = std::sqrt(all.square / n);
  }
  m.nmse = all.square == 0 ? 0 : all.square / all.reference;
  m.cosine = all.reference > 0 && all.actual > 0
                 ? all.product / (std::sqrt(all.reference) * std::sqrt(all.actual))
                 : (all.reference == all.actual ? 1 : 0);
  const double mean = n > 0 ? all.error / n : 0;
  if (all.finite >= 2 && all.square > 0 && mean != 0) {
    const double variance = std::max(0.0, all.square - n * mean * mean) / (n - 1);
    m.bias_z = mean / std::sqrt(variance / n);
  }
  return m;
}

// `next` stands after `all`.
void append(Piece& all, const Piece& next) {
  Metrics& m = all.metrics;
  const Metrics& n = next.metrics;
  if (n.worst >= 0 && (n.bound_ratio > m.bound_ratio || m.worst < 0)) {
    m.bound_ratio = n.bound_ratio;
    m.worst = m.count + n.worst;
    m.worst_actual = n.worst_actual;
    m.worst_expected = n.worst_expected;
    m.worst_bound = n.worst_bound;
  }
  m.certain_ratio = std::max(m.certain_ratio, n.certain_ratio);
  m.max_abs = std::max(m.max_abs, n.max_abs);
  m.max_rel = std::max(m.max_rel, n.max_rel);
  m.max_ulp = std::max(m.max_ulp, n.max_ulp);
  m.count += n.count;
  m.out_of_bound += n.out_of_bound;
  m.out_of_certain += n.out_of_certain;
  m.nan_count += n.nan_count;
  m.inf_count += n.inf_count;
  m.non_finite_mismatch += n.non_finite_mismatch;
  all.finite += next.finite;
  all.error += next.error;
  all.magnitude += next.magnitude;
  all.square += next.square;
  all.reference += next.reference;
  all.actual += next.actual;
  all.product += next.product;
}

template <bool HasCertain, typename R>
Piece compare_blocks(const Operands<R>& whole, size_t count) {
  Metrics m;
  m.count = static_cast<int64_t>(count);
  Maxima maxima{.finite = m.count};
  Sums sums[2];
  const auto at = [&](size_t i) {
    return Operands<R>{whole.actual + i, whole.reference + i, whole.expected + i, whole.certain + i};
  };
  const size_t even = count / kLanes * kLanes;
  for (size_t i = 0; i < even; i += kBlock) {
    const size_t size = std::min(kBlock, even - i);
    block<HasCertain>(at(i), size, size, static_cast<int64_t>(i), m, maxima, sums);
  }
  if (even < count) {  // the last few, padded with zeros that agree
    const size_t size = count - even;
    float actual[kLanes] = {};
    R reference[kLanes] = {}, expected[kLanes] = {}, certain[kLanes] = {};
    const auto last = at(even);
    std::copy_n(last.actual, size, actual);
    std::copy_n(last.reference, size, reference);
    std::copy_n(last.expected, size, expected);
    std::copy_n(last.certain, size, certain);
    block<HasCertain>(Operands<R>{actual, reference, expected, certain}, kLanes, size,
                      static_cast<int64_t>(even), m, maxima, sums);
  }
  return piece_of(sums, maxima, m);
}

}  // namespace

Piece compare_piece(std::span<const float> actual, std::span<const double> reference,
                    std::span<const double> expected, std::span<const double> certain) {
  if (reference.size() != actual.size() || expected.size() != actual.size() ||
      certain.size() != actual.size())
    fail_internal("compared spans differ in length: {} actual, {} reference, {} expected, {} certain",
                  actual.size(), reference.size(), expected.size(), certain.size());
  return compare_blocks<true, double>({actual.data(), reference.data(), expected.data(), certain.data()},
                                      actual.size());
}

Metrics compare(std::span<const float> actual, std::span<const double> reference,
                std::span<const double> expected, std::span<const double> certain) {
  return finish(compare_piece(actual, reference, expected, certain));
}

Metrics join(std::span<const Piece> pieces) {
  Piece all;
  for (const Piece& piece : pieces) append(all, piece);
  return finish(all);
}

Metrics compare(std::span<const float> actual, std::span<const float> other,
                std::span<const float> tolerance) {
  if (other.size() != actual.size() || (!tolerance.empty() && tolerance.size() != actual.size()))
    fail_internal("compared spans differ in length: {} actual, {} other, {} tolerance", actual.size(),
                  other.size(), tolerance.size());
  if (!tolerance.empty())
    return finish(compare_blocks<false, float>(
        {actual.data(), other.data(), tolerance.data(), tolerance.data()}, actual.size()));
  const std::vector<float> zero(actual.size(), 0.0f);
  return finish(
      compare_blocks<false, float>({actual.data(), other.data(), zero.data(), zero.data()}, actual.size()));
}

}  // namespace greta::probes
