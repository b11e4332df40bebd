#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "reference/dot.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// The largest that is finite. Sixteen at a time: a maximum is the same in any order.
double largest_of(const double* values, Index count) {
  constexpr Index kLanes = 16;
  constexpr double kLargest = std::numeric_limits<double>::max();
  double lanes[kLanes] = {}, largest = 0;
  const Index full = count / kLanes * kLanes;
  const auto take = [](double& most, double value) {
    const double size = std::abs(value);
    most = size > most && size <= kLargest ? size : most;
  };
  for (Index k = 0; k < full; k += kLanes)
    for (Index lane = 0; lane < kLanes; ++lane) take(lanes[lane], values[k + lane]);
  for (Index k = full; k < count; ++k) take(lanes[0], values[k]);
  for (const double lane : lanes) largest = std::max(largest, lane);
  return largest;
}

}  // namespace

void Magnitudes::set(const Rows& values, double least) {
  const Index terms = values.cols();
  abs_.resize(values.rows(), terms);
  square_.resize(values.rows(), terms);
  scale_.resize(static_cast<size_t>(values.rows()));
  for (Index i = 0; i < values.rows(); ++i) {
    const double* row = values.data() + i * values.outerStride();
    const double largest = magnitude(largest_of(row, terms), least);
    const double scale = largest > 0 ? std::ldexp(1.0, std::ilogb(largest)) : 0,
                 to_scale = largest > 0 ? 1 / scale : 1;  // a row of zeros is worth 0
    scale_[static_cast<size_t>(i)] = scale;
    float *abs = abs_.row(i).data(), *square = square_.row(i).data();
    for (Index k = 0; k < terms; ++k) {
      const double size = magnitude(row[k], least) * to_scale;
      abs[k] = static_cast<float>(size);
      square[k] = static_cast<float>(size * size);
    }
  }
}

void Magnitudes::add(const Floats& x, const Floats& w, Matrix& sums) {
  const auto i = [](Index size) { return static_cast<blasint>(size); };
  thread_local Floats part;
  part.resize(x.rows(), w.rows());
  sums.setZero(x.rows(), w.rows());
  if (part.size() == 0) return;
  for (Index k = 0; k < x.cols(); k += kMagnitudeTerms) {
    const Index width = std::min(kMagnitudeTerms, x.cols() - k);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, i(x.rows()), i(w.rows()), i(width), 1.0f,
                x.data() + k, i(x.cols()), w.data() + k, i(w.cols()), 0.0f, part.data(), i(part.cols()));
    sums += part.cast<double>();
  }
}

// A term passes through at most `block` roundings in f32 with its own and its factors': what is left is no
// less than (1 - u)^block of it.
void Magnitudes::products(const Magnitudes& x, const Magnitudes& w, Matrix& abs, Matrix& square) {
  add(x.abs_, w.abs_, abs);
  add(x.square_, w.square_, square);
  const auto terms = static_cast<double>(x.abs_.cols());
  const double block = std::min(terms, static_cast<double>(kMagnitudeTerms)) + 4;
  const double roundings = 1 + gamma(block), underflow = terms * 0x1p-122;
  for (Index i = 0; i < abs.rows(); ++i) {
    for (Index j = 0; j < abs.cols(); ++j) {
      const double scale = x.scale_[static_cast<size_t>(i)] * w.scale_[static_cast<size_t>(j)];
      abs(i, j) = (abs(i, j) * roundings + underflow) * scale;
      square(i, j) = (square(i, j) * roundings + underflow) * scale * scale;
    }
  }
}

}  // namespace greta::reference
