#include "reference/bounds.hpp"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>

#include "reference/rounding.hpp"

namespace greta::reference {
Errors Errors::unset(Eigen::Index rows, Eigen::Index columns) {
  Errors errors;
  for (auto* matrix : {&errors.value, &errors.certain, &errors.rms, &errors.linear})
    matrix->resize(rows, columns);
  return errors;
}

Errors Errors::of_shape(Eigen::Index rows, Eigen::Index columns) {
  Errors errors;
  errors.value = Matrix::Zero(rows, columns);
  errors.certain = Matrix::Zero(rows, columns);
  errors.rms = Matrix::Zero(rows, columns);
  errors.linear = Matrix::Zero(rows, columns);
  return errors;
}

Bounded judge(Errors&& errors) {
  Bounded out{std::move(errors.value), std::move(errors.certain), std::move(errors.rms),
              std::move(errors.reason), std::move(errors.lean)};
  const Eigen::Index count = out.value.size();
  tbb::parallel_for(tbb::blocked_range<Eigen::Index>(0, count, 1 << 16), [&](const auto& range) {
    for (auto i = range.begin(); i < range.end(); ++i) {
      double& value = out.value.data()[i];
      double& certain = out.certain.data()[i];
      double& expected = out.expected.data()[i];
      certain *= kSlack;
      expected = std::min(certain, (kLambda * expected + errors.linear.data()[i]) * kSlack);
      if (std::abs(value) <= kF32.largest) continue;
      value = round_to(kF32, value);
      if (!std::isfinite(value)) certain = expected = 0;
    }
  });
  return out;
}

Matrix deviation(const Errors& errors) {
  const auto rms = errors.rms.array(), linear = errors.linear.array();
  Matrix sigma =
      ((rms.square() + linear.square()).sqrt().min(errors.certain.array()) / std::sqrt(3.0)).matrix();
  return (errors.value.array().abs() <= kF32.largest).select(sigma, 0.0);
}

}  // namespace greta::reference
