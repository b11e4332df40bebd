#include "reference/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace greta::reference {
namespace {

using Eigen::Index;

// Σ p and, where the integers are none, Σ|p| and Σ p² of a sub-block. Products of integers with x', whose
// last bits are in one place, have at most 36 bits and their sums 41: exact in float64.
struct Sums {
  double value, abs, square;
};
template <int kTerms, bool kWhole>
Sums sums_of(const double* integers, const double* x) {
  constexpr int kLanes = 8;
  double value[kLanes] = {}, abs[kLanes] = {}, square[kLanes] = {};
  for (int k = 0; k < kTerms; k += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double p = integers[k + lane] * x[k + lane];
      value[lane] += p;
      if constexpr (kWhole) continue;
      abs[lane] += std::abs(p);
      square[lane] += p * p;
    }
  }
  Sums out{0, 0, 0};
  for (int lane = 0; lane < kLanes; ++lane) {
    out.value += value[lane];
    out.abs += abs[lane];
    out.square += square[lane];
  }
  if (kWhole) out.abs = std::abs(out.value);
  return out;
}

// The errors of the X_b in u², Σ over groups of equal sub-blocks of (Σ|minimum|·error)².
class SharedErrors {
 public:
  explicit SharedErrors(const FixedRow& x) : x_(x) { weights_.assign(x.blocks.size(), 0.0); }
  void add(size_t b, double minimum) { weights_[x_.blocks[b].same] += std::abs(minimum); }
  double square(double additions) const {
    double sum = 0;
    for (size_t b = 0; b < weights_.size(); ++b) {
      const auto& block = x_.blocks[b];
      sum +=
          weights_[b] * weights_[b] * ((additions + 1) * block.square + additions * block.peak * block.peak);
    }
    return sum;
  }

 private:
  const FixedRow& x_;
  static thread_local std::vector<double> weights_;
};
thread_local std::vector<double> SharedErrors::weights_;

// Σ over lanes of the square of a lane's sum, at most, where 2, 4, … or 32 lanes take every so manieth
// sub-block: sums of one sign in each lane may cancel in the order of k.
class StridedSums {
 public:
  void add(size_t b, double d) { sums_[b % kLanes] += d; }
  double square() {
    double worst = 0;
    for (size_t lanes = kLanes; lanes > 1; lanes /= 2) {
      double sum = 0;
      for (size_t i = 0; i < lanes; ++i) sum += sums_[i] * sums_[i];
      worst = std::max(worst, sum);
      for (size_t i = 0; i < lanes / 2; ++i) sums_[i] += sums_[i + lanes / 2];
    }
    return worst;
  }

 private:
  static constexpr size_t kLanes = 32;
  std::array<double, kLanes> sums_ = {};
};

template <int kTerms, bool kWhole>
PartsResult product(const FixedRow& x, const WeightParts& w, double additions) {
  SharedErrors of_sums(x);
  StridedSums strided;
  double value = 0, peak = 0, differences = 0, square = 0, size = 0;
  for (size_t b = 0; b < x.blocks.size(); ++b) {
    const auto& of_x = x.blocks[b];
    const auto sums = sums_of<kTerms, kWhole>(&w.integers[b * kTerms], &x.value[b * kTerms]);
    const double scale = w.scales[b], minimum = w.minima[b], t = scale * sums.value, m = minimum * of_x.sum,
                 d = t - m;
    value += d;
    peak = std::max(peak, std::abs(value));
    differences += d * d;
    strided.add(b, d);
    square += 2 * (t * t + m * m) + scale * scale * sums.square;
    of_sums.add(b, minimum);
    size += std::abs(scale) * sums.abs + std::abs(minimum) * of_x.abs;
  }
  // An X_b that is exact at first is rounded once, as by one addition.
  const double inside = std::clamp(additions, 1.0, kTerms - 1.0);
  square += of_sums.square(inside) + additions * std::max({peak * peak, differences, strided.square()});
  const double certain = gamma(additions + (kWhole ? 2 : 3)) * size;
  return {value, certain + kTiny, kU * std::sqrt(square)};
}

}  // namespace

int fixed_exponent(const double* x, Index count) {
  double largest = 0;
  for (Index k = 0; k < count; ++k) largest = std::max(largest, std::abs(x[k]));
  return largest == 0 ? 0 : std::clamp(29 - std::ilogb(largest), -100, 100);
}

FixedRow::FixedRow(const double* x, Index count, int sub_block, Index left_out)
    : value(static_cast<size_t>(count)), blocks(static_cast<size_t>(count / sub_block)) {
  if (std::all_of(x, x + count, [](double v) { return std::isfinite(v); })) {
    for (Index first = 0; first < count; first += kFixedBlock) {
      const Index end = std::min<Index>(first + kFixedBlock, count);
      const int p = fixed_exponent(x + first, end - first);
      const double scale = std::ldexp(1.0, p), unit = std::ldexp(1.0, -p);
      for (Index k = first; k < std::min(end, count - left_out); ++k)
        value[static_cast<size_t>(k)] = std::nearbyint(x[k] * scale) * unit;  // ties to even
    }
  } else {
    std::fill(value.begin(), value.end(), std::numeric_limits<double>::quiet_NaN());
  }
  std::map<std::array<double, 3>, size_t> seen;
  for (size_t b = 0; b < blocks.size(); ++b) {
    auto& block = blocks[b] = {};
    for (size_t k = b * static_cast<size_t>(sub_block); k < (b + 1) * static_cast<size_t>(sub_block); ++k) {
      block.sum += value[k];
      block.abs += std::abs(value[k]);
      block.square += value[k] * value[k];
      block.peak = std::max(block.peak, std::abs(block.sum));
    }
    block.same = std::isfinite(block.sum)
                     ? seen.try_emplace({std::abs(block.sum), block.abs, block.square}, b).first->second
                     : b;
  }
}

PartsResult parts_product(const FixedRow& x, const WeightParts& w, int sub_block, double additions) {
  if (sub_block == 32)
    return w.whole ? product<32, true>(x, w, additions) : product<32, false>(x, w, additions);
  return w.whole ? product<16, true>(x, w, additions) : product<16, false>(x, w, additions);
}

std::string reason_of_parts(int sub_block, double additions) {
  return fmt::format(
      "sub-blocks of {} added up exactly, scales and minima in f32, {} additions there: expected = "
      "7.13·2^-24·sqrt(Σ (2t² + 2m² + X's) + {}·c²), t = scale·S, m = minimum·X, c² = max(max|Σ (t − m)|², "
      "Σ (t − m)², Σ (a lane's sum)²); certain = γ_{}·Σ (|t| + |minimum|·Σ|x|)",
      sub_block, additions, additions, additions + 2);
}

}  // namespace greta::reference
