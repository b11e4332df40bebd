#include <fmt/format.h>

#include "reference/dequantise.hpp"
#include "reference/dot.hpp"
#include "reference/half_sum.hpp"
#include "reference/narrow.hpp"
#include "reference/rounding.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// The weight as the declared arithmetic multiplies it: in f32, then in the narrow type.
struct RoundedTile {
  Matrix values;
  struct Doubt {
    Index row, column;
    double ulp;
  };
  std::vector<Doubt> doubts;

  void round(const Rows& w, Unit unit, Rounding to, bool difference) {
    doubts.clear();
    values.resize(w.rows(), w.cols());
    for (Index j = 0; j < w.rows(); ++j) {
      const std::span<const double> exact(w.data() + j * w.outerStride(), static_cast<size_t>(w.cols()));
      const std::span<double> row(values.row(j).data(), exact.size());
      take(Unit::ieee, to, true, exact, row);
      if (difference) doubt_row(j, exact, row, unit, to);
      if (unit == Unit::cdna2) take(unit, to, false, row, row);
    }
  }

  // Few are in doubt: blocks without any are passed over.
  void doubt_row(Index j, std::span<const double> exact, std::span<const double> narrow, Unit unit,
                 Rounding to) {
    constexpr size_t kBlock = 256;
    const Format format = format_of(to);
    for (size_t begin = 0; begin < exact.size(); begin += kBlock) {
      const size_t end = std::min(begin + kBlock, exact.size());
      if (!any_may_round_either_way(to, exact.subspan(begin, end - begin),
                                    narrow.subspan(begin, end - begin)))
        continue;
      for (size_t k = begin; k < end; ++k) {
        if (!may_round_either_way(format, exact[k], narrow[k])) continue;
        // flushed, or, next to the smallest normal, the other neighbour is
        const double normal = std::ldexp(1.0, format.min_exponent);
        const bool flushed = taken(unit, to, narrow[k]) != narrow[k];
        doubts.push_back(
            {j, static_cast<Index>(k),
             unit == Unit::cdna2 && (flushed || narrow[k] == normal) ? normal : ulp(format, exact[k])});
      }
    }
  }

  void add_doubts(const DotOperand& x, Index column, Errors& errors) const {
    for (const auto& doubt : doubts) {
      for (Index i = 0; i < x.value.rows(); ++i) {
        const double error = x.abs(i, doubt.column) * doubt.ulp * (1 + 0x1p-10);
        errors.certain(i, column + doubt.row) += error;
        errors.linear(i, column + doubt.row) += error;
      }
    }
  }
};

}  // namespace

Errors matmul(const Request& in) {
  if (in.contract.parts) return matmul_by_parts(in);
  const WeightReader weight = reader_of(in, weight_of(in));
  const auto info = weight.info();
  const Rounding to_x = *in.contract.x, to_w = *in.contract.w;
  const bool difference = rounds_in_f32(info.type);
  const Index terms = info.columns - in.variant.last_terms_left_out;
  const Matrix operand = in.operand(0);
  const Unit unit = *in.contract.unit;
  const DotOperand x(taken(unit, to_x, operand.leftCols(terms)), least_magnitude(unit, to_x));
  const DotArithmetic arithmetic{.chain = static_cast<double>(*in.contract.chain),
                                 .extra = difference ? 1.0 : 0.0,
                                 .unit = unit,
                                 .type = to_w};

  const auto products = in.variant.half_sum ? half_sum_products : dot_products;

  auto errors = Errors::unset(x.value.rows(), info.rows);
  if (leans(unit)) errors.lean.resize(x.value.rows(), info.rows);
  const bool as_stored = !difference && to_w == Rounding::f32;
  weight.visit_tiles(
      [&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
        if (as_stored) return products(x, tile.leftCols(terms), arithmetic, errors, begin);
        thread_local RoundedTile rounded_tile;
        rounded_tile.round(tile.leftCols(terms), unit, to_w, difference);
        products(x, rounded_tile.values, arithmetic, errors, begin);
        rounded_tile.add_doubts(x, begin, errors);
      },
      x.many() ? kWideTile : kCachedTile);
  errors.reason =
      fmt::format("matmul K={}, x {}, w {} (rounded as declared, so no error), {}", info.columns,
                  name_of(to_x), name_of(to_w), reason_of(unit, to_w, arithmetic.chain, arithmetic.extra));
  if (!x.value.allFinite())
    errors.reason += fmt::format("; x has values that are not finite as {}", name_of(to_x));
  return errors;
}

}  // namespace greta::reference
