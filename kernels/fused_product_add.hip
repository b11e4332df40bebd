// out = residual + W · x in one launch. `out` may be `residual`: each element is read and written by one
// thread.
#include "kernels/gemv_parts_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct StoreSum {
  static constexpr bool kApart = false;
  __device__ static float early(const GemvArgs& a, const GemvShare& share) {
    const int r = static_cast<int>(threadIdx.x);
    return r < share.rows ? a.residual[share.first + r] : 0.0f;
  }
  template <class Rows, class Value>
  __device__ static void run(const GemvArgs& a, const Rows& rows, float early, const Value& value) {
    rows.each(0, [&](int64_t row, int r) {
      const float product = value(0, r);
      if (a.m[0].y) a.m[0].y[row] = product;
      a.out[row] = (r == static_cast<int>(threadIdx.x) ? early : a.residual[row]) + product;
    });
  }
};

}  // namespace

ProductAddRan product_add(hipStream_t stream, const Weight& w, const float* x, const float* residual,
                          float* product_out, float* out, Unit unit) {
  constexpr const char* kOp = "product_add";
  require_weight(w, kOp);
  require(x != nullptr && residual != nullptr && out != nullptr, kOp, "x, residual or out is null");
  const Projection projection{w, product_out};
  if (unit == Unit::mfma && gemv_parts::takes({&projection, 1}, {x})) {
    return gemv_parts::with_lanes({&projection, 1}, [&]<class A, class B>() -> ProductAddRan {
      if constexpr (std::is_same_v<A, B>) {
        gemv_parts::Plan p = gemv_parts::plan<A, A, StoreSum>(kOp, {&projection, 1}, x, nullptr);
        p.args.common.residual = residual;
        p.args.common.out = out;
        gemv_parts::launch<A, A, StoreSum, 1, false>(stream, p, 1);
        return {{p.name, p.contract}, {p.name, "op=add"}};
      } else {
        throw LaunchError("product_add: one matrix cannot be of two types");
      }
    });
  }
  return gemv::with_lanes({&projection, 1}, [&]<class A, class B, int kRows>() -> ProductAddRan {
    if constexpr (std::is_same_v<A, B>) {
      gemv::Plan p =
          gemv::plan<A, A, kRows, kGemvTeams, kGemvBlocks>(kOp, {&projection, 1}, x, nullptr, nullptr);
      p.args.residual = residual;
      p.args.out = out;
      gemv::launch<A, A, StoreSum, 1, false, kRows, kGemvTeams, kGemvBlocks>(stream, p, 1);
      return {{p.name, sum_contract("matmul", "f32", p.chain)}, {p.name, "op=add"}};
    } else {
      throw LaunchError("product_add: one matrix cannot be of two types");
    }
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
