#include "reference/ensemble.hpp"

#include <tbb/parallel_for.h>

#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/polygamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>

#include "reference/noise.hpp"
#include "reference/parts.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// ψ'(x) falls from infinity to 0; Newton on its reciprocal, which is nearly straight (Smyth 2004, appendix).
double inverse_trigamma(double y) {
  double x = 0.5 + 1 / y;
  for (int i = 0; i < 50; ++i) {
    const double t = boost::math::trigamma(x);
    const double step = t * (1 - t / y) / boost::math::polygamma(2, x);
    x += step;
    if (-step < 1e-9 * x) break;
  }
  return x;
}

// Row mean × column mean / grand mean, over the elements that vary at all; a few rows say nothing of a
// column.
struct Prior {
  Eigen::VectorXd row;
  Eigen::RowVectorXd column;

  explicit Prior(const Matrix& variance) {
    const Eigen::ArrayXXd varies = (variance.array() > 0).cast<double>();
    const auto mean = [](double sum, double count) { return count > 0 ? sum / count : 0.0; };
    const double grand = mean(variance.sum(), varies.sum());
    const bool few = variance.rows() < 8;
    row.resize(variance.rows());
    column.resize(variance.cols());
    for (Index i = 0; i < row.size(); ++i) row(i) = mean(variance.row(i).sum(), varies.row(i).sum());
    for (Index j = 0; j < column.size(); ++j)
      column(j) = few || grand <= 0 ? 1 : mean(variance.col(j).sum(), varies.col(j).sum()) / grand;
  }
  double operator()(Index i, Index j) const { return row(i) * column(j); }
};

// The prior's degrees of freedom from the scatter of log(s²/prior): Var = ψ'(R/2) + ψ'(d0/2).
double prior_dof(const Matrix& variance, const Prior& prior, int reruns) {
  double count = 0, sum = 0, squares = 0;
  for (Index i = 0; i < variance.rows(); ++i) {
    for (Index j = 0; j < variance.cols(); ++j) {
      const double ratio = variance(i, j) / prior(i, j);
      if (!(ratio > 0) || !std::isfinite(ratio)) continue;
      const double logarithm = std::log(ratio);
      ++count;
      sum += logarithm;
      squares += logarithm * logarithm;
    }
  }
  const double limit = 3.0 * reruns;
  if (count < 16) return 0;  // nothing to borrow
  const double excess = (squares - sum * sum / count) / (count - 1) - boost::math::trigamma(reruns / 2.0);
  return excess <= 0 ? limit : std::min(limit, 2 * inverse_trigamma(excess));
}

void add_deviates(double* y, const double* sigma, Index count, uint64_t key, uint64_t index) {
  for (Index i = 0; i < count; ++i) y[i] += sigma[i] * deviate(key, index + static_cast<uint64_t>(i));
}

// A zero is exact in every type.
void add_operand_noise(double* x, const double* shared, Index count, double u, double floor, uint64_t key,
                       uint64_t index) {
  for (Index k = 0; k < count; ++k) {
    const double size = std::max(u * std::abs(x[k]), floor) * (x[k] != 0 ? 1.0 : 0.0);
    x[k] += size * deviate(key, index + static_cast<uint64_t>(k)) + x[k] * shared[k];
  }
}

void add_squares(double* sums, const double* y, const double* y0, Index count) {
  for (Index i = 0; i < count; ++i) {
    const double d = y[i] - y0[i];
    sums[i] += std::abs(y0[i]) <= kF32.largest ? d * d : 0;  // masked scores stay -inf
  }
}

}  // namespace

void perturb_row(const Ensemble& e, Index s, Matrix& y, const double* sigma, Index begin, Index width,
                 uint64_t key, double* sum_of_squares) {
  std::fill_n(sum_of_squares, y.cols(), 0.0);
  for (Index r = 1; r < e.streams(); ++r) {
    double* row = y.row(r * e.S + s).data();
    add_deviates(row, sigma, y.cols(), key_of({key, static_cast<uint64_t>(r)}),
                 static_cast<uint64_t>(s * width + begin));
    add_squares(sum_of_squares, row, y.row(s).data(), y.cols());
  }
}

Matrix rounding_noise(const Ensemble& e, Matrix x, std::optional<Rounding> x_type,
                      std::optional<Rounding> w_type, uint64_t x_key, uint64_t w_key) {
  const auto roundoff = [](const std::optional<Rounding>& type) {
    return type && *type != Rounding::f32 ? unit_roundoff(*type) / std::sqrt(3.0) : 0.0;
  };
  const double u_x = roundoff(x_type), u_w = roundoff(w_type);
  if (u_x == 0 && u_w == 0) return x;
  // Below its normal range f16 rounds to multiples of 2^-24.
  const double floor = x_type == Rounding::f16 ? 0x1p-25 / std::sqrt(3.0) : 0;
  Matrix of_weight(e.streams(), x.cols());
  for (Index r = 0; r < e.streams(); ++r)
    for (Index k = 0; k < x.cols(); ++k)
      of_weight(r, k) = u_w * deviate(key_of({w_key, static_cast<uint64_t>(r)}), static_cast<uint64_t>(k));
  tbb::parallel_for(e.S, e.rows(), [&](Index row) {
    const Index stream = row / e.S;
    const uint64_t own = key_of({x_key, static_cast<uint64_t>(stream)}),
                   first = static_cast<uint64_t>(row % e.S * x.cols());
    const double* shared = of_weight.row(stream).data();
    add_operand_noise(x.row(row).data(), shared, x.cols(), u_x, floor, own, first);
  });
  return x;
}

Matrix fixed_noise(const Ensemble& e, Matrix x, uint64_t key) {
  const std::vector<double> none(static_cast<size_t>(x.cols()), 0.0);
  tbb::parallel_for(e.S, e.rows(), [&](Index row) {
    for (Index first = 0; first < x.cols(); first += kFixedBlock) {
      double* const block = x.row(row).data() + first;
      const Index count = std::min<Index>(kFixedBlock, x.cols() - first);
      const double half = std::ldexp(0.5, -fixed_exponent(block, count));
      add_operand_noise(block, none.data() + first, count, 0, half / std::sqrt(3.0),
                        key_of({key, static_cast<uint64_t>(row / e.S)}),
                        static_cast<uint64_t>(row % e.S * x.cols() + first));
    }
  });
  return x;
}

double student_quantile(double dof) {
  const boost::math::students_t_distribution<double> student(dof);
  return boost::math::quantile(boost::math::complement(student, 0.5e-12));
}

Matrix envelope(const Matrix& sum_of_squares, int reruns) {
  const Matrix variance = sum_of_squares / reruns;
  const Prior prior(variance);
  const double dof = prior_dof(variance, prior, reruns), quantile = student_quantile(dof + reruns);
  Matrix out(variance.rows(), variance.cols());
  for (Index i = 0; i < out.rows(); ++i) {
    for (Index j = 0; j < out.cols(); ++j) {
      const double s2 = variance(i, j);
      const double moderated = s2 > 0 ? (dof * prior(i, j) + reruns * s2) / (dof + reruns) : 0;
      out(i, j) = quantile * std::sqrt(std::max(s2, moderated));
    }
  }
  return out;
}

}  // namespace greta::reference
