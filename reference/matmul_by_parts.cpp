#include <fmt/format.h>

#include "datasets/error.hpp"
#include "reference/dequantise.hpp"
#include "reference/half_sum.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// The half in f16 is followed on whole weights, and its own bound, of a chain as long as half the sum, is far
// above what the parts would make of the rest.
Errors half_summed(const Matrix& x, const WeightReader& weight, double chain) {
  auto errors = Errors::of_shape(x.rows(), weight.info().rows);
  const DotOperand operand(x);
  weight.visit_tiles([&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
    half_sum_products(operand, tile.leftCols(x.cols()), {.chain = chain, .extra = 3}, errors, begin);
  });
  return errors;
}

// The type's, and for a variant that reads a weight of another type, 32.
int sub_block_of(const Request& in, const WeightReader& weight) {
  const auto named = weight_of(in.model, in.stage, in.layer);
  const auto type = in.model.weight_info(named).type;
  if (reference::sub_block_of(type) == 0)
    fail_invalid("contract '{}': {} is {}, and only Q4_K, Q5_K and Q6_K come in parts", in.contract.text,
                 named, greta::info(type).name);
  const int sub_block = reference::sub_block_of(weight.info().type);
  return sub_block == 0 ? 32 : sub_block;
}

}  // namespace

Errors matmul_by_parts(const Request& in) {
  const WeightReader weight = reader_of(in, weight_of(in));
  const auto info = weight.info();
  const int sub_block = sub_block_of(in, weight);
  const double additions = *in.contract.sum;
  const Matrix operand = in.operand(0);
  const Index rows = operand.rows(), terms = info.columns - in.variant.last_terms_left_out;
  std::vector<FixedRow> x;
  for (Index i = 0; i < rows; ++i)
    x.emplace_back(operand.row(i).data(), info.columns, sub_block, info.columns - terms);
  if (in.variant.half_sum) {
    Matrix taken(rows, terms);
    for (Index i = 0; i < rows; ++i)
      for (Index k = 0; k < terms; ++k) taken(i, k) = x[static_cast<size_t>(i)].value[static_cast<size_t>(k)];
    return half_summed(taken, weight, additions);
  }
  auto errors = Errors::of_shape(rows, info.rows);
  errors.linear.setConstant(kTiny);
  weight.visit_parts(sub_block, [&](int64_t row, const WeightParts& parts) {
    for (Index i = 0; i < rows; ++i) {
      const auto result = parts_product(x[static_cast<size_t>(i)], parts, sub_block, additions);
      errors.value(i, row) = result.value;
      errors.certain(i, row) = result.certain;
      errors.rms(i, row) = result.rms;
    }
  });
  errors.reason = fmt::format("matmul K={}, x in fixed point (known, so no error), {}", info.columns,
                              reason_of_parts(sub_block, additions));
  if (!operand.allFinite()) errors.reason += "; x has values that are not finite";
  return errors;
}

}  // namespace greta::reference
