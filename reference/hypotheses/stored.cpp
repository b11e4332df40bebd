#include "reference/hypotheses/stored.hpp"

#include <fmt/format.h>

#include <limits>

#include "reference/rounding.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

constexpr Index kTile = 16;
constexpr double kUnwritten = std::numeric_limits<double>::quiet_NaN();

// Its own inverse.
void transpose_tiles(Matrix& y) {
  for (Index row = 0; row + kTile <= y.rows(); row += kTile)
    for (Index column = 0; column + kTile <= y.cols(); column += kTile)
      y.block<kTile, kTile>(row, column).transposeInPlace();
}

// The factor that fits best, and how far off it may be, relative, for each kind of error: o = c(y + e) gives
// Σyo/Σy² = c(1 + Σye/Σy²).
struct Factor {
  double value = 1, certain = 0, rms = 0, linear = 0;
};

Factor fit(const Matrix& seen, const Errors& errors, Index begin, Index width) {
  double squares = 0, product = 0;
  Factor sums{0};
  for (Index s = 0; s < seen.rows(); ++s) {
    for (Index i = begin; i < begin + width; ++i) {
      const double y = errors.value(s, i), o = seen(s, i);
      if (!(std::abs(y) <= kF32.largest) || !std::isfinite(o)) continue;
      squares += y * y;
      product += y * o;
      sums.certain += errors.certain(s, i) * std::abs(y);
      sums.linear += errors.linear(s, i) * std::abs(y);
      sums.rms += errors.rms(s, i) * errors.rms(s, i) * y * y;
    }
  }
  if (squares == 0) return {};
  return {product / squares, sums.certain / squares + kU, std::sqrt(sums.rms) / squares,
          sums.linear / squares + kU};
}

// c·y with its own rounding.
void scale(Errors& errors, const Factor& factor, Index begin, Index width) {
  const double c = std::abs(factor.value) * (1 + 0x1p-10);
  for (Index s = 0; s < errors.value.rows(); ++s) {
    for (Index i = begin; i < begin + width; ++i) {
      const double y = std::abs(errors.value(s, i));
      errors.value(s, i) *= factor.value;
      errors.certain(s, i) = c * (errors.certain(s, i) + y * (factor.certain + kU)) + kTiny;
      errors.linear(s, i) = c * (errors.linear(s, i) + y * (factor.linear + kU)) + kTiny;
      errors.rms(s, i) = c * std::hypot(errors.rms(s, i), y * factor.rms);
    }
  }
}

// The memory of V [T, Hkv·Dh] read as [Hkv·Dh, T].
Matrix by_column(const Matrix& v) {
  Matrix out(v.rows(), v.cols());
  for (Index t = 0; t < v.rows(); ++t)
    for (Index i = 0; i < v.cols(); ++i) out(t, i) = v.data()[i * v.rows() + t];
  return out;
}

void misplace_rows(const Request& in, Matrix& rows) {
  const Index start = in.call.start, last = rows.rows() - 1;
  switch (in.variant.cache_rows) {
    case CacheRows::right:
      return;
    case CacheRows::stale:
      rows.row(last) = rows.row(last - 1);
      return;
    case CacheRows::missing:
      rows.row(last).setConstant(kUnwritten);
      return;
    case CacheRows::late:
      for (Index t = last; t > start; --t) rows.row(t) = rows.row(t - 1);
      rows.row(start).setConstant(kUnwritten);
      return;
    case CacheRows::early:
      for (Index t = std::max<Index>(start, 1); t <= last; ++t) rows.row(t - 1) = rows.row(t);
      rows.row(last).setConstant(kUnwritten);
      return;
  }
}

}  // namespace

Message scale_heads(const Request& in, const Matrix& output, Errors& errors) {
  const Index Dh = in.config().head_dim, heads = errors.value.cols() / Dh;
  Matrix seen = output;
  if (in.variant.tiles_transposed) transpose_tiles(seen);
  const double infinity = std::numeric_limits<double>::infinity();
  double smallest = infinity, largest = -infinity;  // of what the factors can be, and must be
  std::string factors;
  for (Index h = 0; h < heads; ++h) {
    const auto factor = fit(seen, errors, h * Dh, Dh);
    const double doubt = std::abs(factor.value) * (factor.certain + kU);
    smallest = std::min(smallest, factor.value + doubt);
    largest = std::max(largest, factor.value - doubt);
    factors += fmt::format("{}{:.6g}", h ? ", " : "", factor.value);
    scale(errors, factor, h * Dh, Dh);
  }
  if (!(largest > smallest)) return say("all heads are scaled alike: {}", factors);
  errors.reason += "; head factors " + factors;
  return {};
}

void store(const Request& in, Errors& errors) {
  if (in.variant.tiles_transposed)
    for (auto* matrix : {&errors.value, &errors.certain, &errors.rms, &errors.linear})
      transpose_tiles(*matrix);
  if (in.variant.tail_rows_left_out) {
    const Index tail = errors.value.rows() % kTile;
    errors.value.bottomRows(tail).setConstant(kUnwritten);
  }
  if (in.stage == Stage::k_cache || in.stage == Stage::v_cache)
    errors.value = read_cache(in, in.stage == Stage::v_cache, std::move(errors.value));
}

Matrix read_cache(const Request& in, bool is_v, Matrix rows) {
  if (in.variant.cache_by_column && is_v) rows = by_column(rows);
  misplace_rows(in, rows);
  return rows;
}

}  // namespace greta::reference
