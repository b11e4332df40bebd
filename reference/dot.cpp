#include "reference/dot.hpp"

#include <cblas.h>

#include <algorithm>

namespace greta::reference {
namespace {

using Eigen::Index;

// Partial sums are looked at in up to 16 places.
Index block_of(Index terms) { return std::max<Index>(64, (terms / 16 + 63) / 64 * 64); }

struct Scratch {
  Matrix value, abs, square, peak;
  Magnitudes w;
};

// Matrix products; worth it from a few rows on.
void sums_by_product(const DotOperand& x, const Rows& w, double least, Scratch& s) {
  const Index terms = w.cols(), block = block_of(terms);
  s.value.resize(x.value.rows(), w.rows());
  s.peak.setZero(x.value.rows(), w.rows());
  for (Index k = 0; k < terms; k += block) {
    const Index width = std::min(block, terms - k);
    multiply(x.value.middleCols(k, width), w.middleCols(k, width), s.value, k > 0);
    s.peak = s.peak.cwiseMax(s.value.cwiseAbs());
  }
  s.w.set(w, least);
  Magnitudes::products(x.magnitudes, s.w, s.abs, s.square);
}

// One pass over the weight, for the single row of a decode step: memory is the limit there. Plain: every
// product counts with its own magnitude.
template <bool Plain>
DotSums sums_of_row(const double* x, const double* x_abs, const double* w, double least, Index terms) {
  constexpr int kLanes = 8;
  const Index block = block_of(terms);
  DotSums sums{0, 0, 0, 0};
  for (Index k0 = 0; k0 < terms; k0 += block) {
    const Index end = std::min(terms, k0 + block), full = k0 + (end - k0) / kLanes * kLanes;
    double value[kLanes] = {}, abs[kLanes] = {}, square[kLanes] = {};
    for (Index k = k0; k < full; k += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const double p = x[k + lane] * w[k + lane];
        const double size = Plain ? std::abs(p) : x_abs[k + lane] * magnitude(w[k + lane], least);
        value[lane] += p;
        abs[lane] += size;
        square[lane] += Plain ? p * p : size * size;
      }
    }
    for (Index k = full; k < end; ++k) {
      const double p = x[k] * w[k];
      const double size = Plain ? std::abs(p) : x_abs[k] * magnitude(w[k], least);
      value[0] += p;
      abs[0] += size;
      square[0] += Plain ? p * p : size * size;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      sums.value += value[lane];
      sums.abs += abs[lane];
      sums.square += square[lane];
    }
    sums.peak = std::max(sums.peak, std::abs(sums.value));
  }
  return sums;
}

void sums_by_row(const DotOperand& x, const Rows& w, double least, Scratch& s) {
  const Index rows = x.value.rows();
  for (auto* matrix : {&s.value, &s.abs, &s.square, &s.peak}) matrix->resize(rows, w.rows());
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < w.rows(); ++j) {
      const double *row = x.value.row(i).data(), *sizes = x.abs.row(i).data(),
                   *of_w = w.data() + j * w.outerStride();
      const auto sums = least == 0 ? sums_of_row<true>(row, sizes, of_w, least, w.cols())
                                   : sums_of_row<false>(row, sizes, of_w, least, w.cols());
      s.value(i, j) = sums.value;
      s.abs(i, j) = sums.abs;
      s.square(i, j) = sums.square;
      s.peak(i, j) = sums.peak;
    }
  }
}

}  // namespace

// dgemm itself: through Eigen's expression the result would be cleared and then read again.
void multiply(const Rows& x, const Rows& w, RowsOut y, bool accumulate) {
  const auto i = [](Index size) { return static_cast<blasint>(size); };
  if (y.size() == 0) return;
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, i(x.rows()), i(w.rows()), i(x.cols()), 1.0, x.data(),
              i(x.outerStride()), w.data(), i(w.outerStride()), accumulate ? 1.0 : 0.0, y.data(),
              i(y.outerStride()));
}

DotOperand::DotOperand(Matrix values, double least) : value(std::move(values)) {
  if (least == 0)
    abs = value.cwiseAbs();
  else
    abs = value.unaryExpr([least](double x) { return magnitude(x, least); });
  if (many()) magnitudes.set(value, least);
}

bool DotOperand::many() const { return value.rows() > 2; }

void dot_products(const DotOperand& x, const Rows& w, const DotArithmetic& arithmetic, Errors& errors,
                  Index column) {
  thread_local Scratch scratch;
  const double least = least_magnitude(arithmetic.unit, arithmetic.type);
  x.many() ? sums_by_product(x, w, least, scratch) : sums_by_row(x, w, least, scratch);
  const auto terms = static_cast<double>(w.cols());
  const UnitSum how{arithmetic.unit, arithmetic.type, arithmetic.chain, arithmetic.extra,
                    arithmetic.rescales};
  for (Index i = 0; i < x.value.rows(); ++i) {
    for (Index j = 0; j < w.rows(); ++j) {
      const DotSums sums{scratch.value(i, j), scratch.abs(i, j), scratch.square(i, j), scratch.peak(i, j)};
      const auto error = dot_error(how, sums, terms);
      errors.value(i, column + j) = arithmetic.scale * sums.value;
      errors.certain(i, column + j) = arithmetic.scale * error.certain;
      errors.rms(i, column + j) = arithmetic.scale * error.rms;
      errors.linear(i, column + j) = arithmetic.scale * error.linear;
      if (errors.lean.size() > 0)
        errors.lean(i, column + j) = arithmetic.scale * mean_error(how, sums.value, sums.abs);
    }
  }
}

}  // namespace greta::reference
