#include <fmt/format.h>

#include "reference/dequantise.hpp"
#include "reference/dot.hpp"
#include "reference/half_sum.hpp"
#include "reference/rounding.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

std::string_view name(Rounding rounding) {
  return rounding == Rounding::f16 ? "f16" : rounding == Rounding::bf16 ? "bf16" : "f32";
}

// A weight that f32 had to round and that lies within an ulp of f32 of the middle between two neighbours of
// the narrow type may be rounded to either: the kernel's two roundings in f32 are not prescribed. Then its
// whole ulp counts.
bool may_round_either_way(const Format& format, double w, double rounded) {
  const double as_f32 = round_to(kF32, w);
  if (as_f32 == w || !std::isfinite(rounded)) return false;
  const double half = 0.5 * ulp(format, w);
  return std::abs(std::abs(w - rounded) - half) <= 2 * ulp(kF32, w);
}

// The weight as the declared arithmetic multiplies it: in f32, then in the narrow type.
struct RoundedTile {
  Matrix values;
  struct Doubt {
    Index row, column;
    double ulp;
  };
  std::vector<Doubt> doubts;

  void round(const Rows& w, Rounding to, bool difference) {
    doubts.clear();
    values.resize(w.rows(), w.cols());
    const Format format = format_of(to);
    for (Index j = 0; j < w.rows(); ++j) {
      for (Index k = 0; k < w.cols(); ++k) {
        values(j, k) = round_to(format, round_to(kF32, w(j, k)));
        if (difference && to != Rounding::f32 && may_round_either_way(format, w(j, k), values(j, k)))
          doubts.push_back({j, k, ulp(format, w(j, k))});
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
  const WeightReader weight = reader_of(in, weight_of(in));
  const auto info = weight.info();
  const Rounding to_x = *in.contract.x, to_w = *in.contract.w;
  const bool difference = rounds_in_f32(info.type);
  const Index terms = info.columns - in.variant.last_terms_left_out;
  const Matrix operand = in.operand(0);
  const DotOperand x(rounded(to_x, operand.leftCols(terms)));
  const DotArithmetic arithmetic{.chain = static_cast<double>(*in.contract.chain),
                                 .extra = difference ? 1.0 : 0.0};

  const auto products = in.variant.half_sum ? half_sum_products : dot_products;

  auto errors = Errors::of_shape(x.value.rows(), info.rows);
  const bool as_stored = !difference && to_w == Rounding::f32;
  weight.visit_tiles([&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
    if (as_stored) return products(x, tile.leftCols(terms), arithmetic, errors, begin);
    thread_local RoundedTile rounded_tile;
    rounded_tile.round(tile.leftCols(terms), to_w, difference);
    products(x, rounded_tile.values, arithmetic, errors, begin);
    rounded_tile.add_doubts(x, begin, errors);
  });
  const double chain = arithmetic.chain, roundings = chain + 1 + arithmetic.extra;
  errors.reason = fmt::format(
      "matmul K={}, x {}, w {} (rounded as declared, so no error), {} additions in f32: expected = "
      "7.13·2^-24·sqrt({}·‖w∘x‖² + {}·max|partial sum|²) + 2^-24·|y|; certain = γ_{}·Σ|wx| + 2^-24·|y|",
      info.columns, name(to_x), name(to_w), chain, roundings, chain, roundings);
  if (!x.value.allFinite())
    errors.reason += fmt::format("; x has values that are not finite as {}", name(to_x));
  return errors;
}

}  // namespace greta::reference
