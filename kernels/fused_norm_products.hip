// n = rmsnorm(x) · norm_weight, y_i = W_i · n: the projections q, k, v of one row in one launch, or the
// output head. Every block norms the row for itself (it is in L2) while its first weights are on their way.
#include "kernels/gemv_parts_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct StoreProducts {
  static constexpr bool kApart = true, kResident = false;
  __device__ static float early(const GemvArgs&, const GemvShare&) { return 0; }
  template <class Rows, class Value>
  __device__ static void run(const GemvArgs& a, const Rows& rows, float, const Value& value) {
    GRETA_UNROLL  // an index known to the compiler keeps the arguments out of memory
        for (int i = 0; i < kGemvMatrices; ++i) {
      if (i >= a.count) break;
      rows.each(i, [&](int64_t row, int r) { a.m[i].y[row] = value(i, r); });
    }
  }
};

}  // namespace

NormProductsRan norm_products(hipStream_t stream, const float* x, const float* norm_weight, int64_t columns,
                              float eps, std::span<const Projection> projections, float* norm_out,
                              Unit unit) {
  constexpr const char* kOp = "norm_products";
  require(x != nullptr && norm_weight != nullptr, kOp, "x or norm_weight is null");
  require(!projections.empty() && projections.size() <= kGemvMatrices, kOp,
          std::to_string(projections.size()) + " matrices are not 1 to " + std::to_string(kGemvMatrices));
  for (const Projection& p : projections) {
    require_weight(p.w, kOp);
    require(p.y != nullptr, kOp, "y is null");
    require(
        p.w.columns == columns, kOp,
        "a weight of " + std::to_string(p.w.columns) + " columns for a row of " + std::to_string(columns));
  }
  if (unit == Unit::mfma && gemv_parts::takes(projections, {x, norm_weight, norm_out})) {
    return gemv_parts::with_lanes(projections, [&]<class A, class B>() -> NormProductsRan {
      gemv_parts::Plan p = gemv_parts::plan<A, B, StoreProducts>(kOp, projections, x, norm_weight);
      p.args.common.eps = eps;
      p.args.common.norm_out = norm_out;
      gemv_parts::launch<A, B, StoreProducts, 3, true>(stream, p, 1);
      return {{p.name, p.norm_contract}, {p.name, p.contract}};
    });
  }
  return gemv::with_lanes(projections, [&]<class A, class B, int kRows>() -> NormProductsRan {
    gemv::Plan p =
        gemv::plan<A, B, kRows, kGemvTeams, kGemvBlocks>(kOp, projections, x, norm_weight, norm_out);
    p.args.eps = eps;
    p.args.norm_out = norm_out;
    gemv::launch<A, B, StoreProducts, 3, true, kRows, kGemvTeams, kGemvBlocks>(stream, p, 1);
    return {{p.name, "op=rmsnorm chain=" + std::to_string(gemv::norm_chain<kGemvTeams>(columns)) + " sqrt=2"},
            {p.name, sum_contract("matmul", "f32", p.chain)}};
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
