// out = residual + W · x in one launch. `out` may be `residual`: each element is read and written by one
// thread.
#include "kernels/gemv_parts_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct StoreSum {
  // With resident blocks decode made 508 tokens/s, without them 521: behind attention, which leaves
  // multiprocessors free, some may get two of them.
  static constexpr bool kApart = false, kResident = false;
  struct First {  // of a thread's rows
    float residual;
    float *product, *out;
  };
  __device__ static First early(const GemvArgs& a, const GemvShare& share) {
    const int r = static_cast<int>(threadIdx.x);
    const int64_t row = share.first + r;
    return {r < share.rows ? a.residual[row] : 0.0f, a.m[0].y ? a.m[0].y + row : nullptr, a.out + row};
  }
  template <class Rows, class Value>
  __device__ static void run(const GemvArgs& a, const Rows& rows, const First& first, const Value& value) {
    rows.each(0, [&](int64_t row, int r) {
      const float product = value(0, r);
      const int after = r - static_cast<int>(threadIdx.x);
      if (first.product) first.product[after] = product;
      first.out[after] = (after == 0 ? first.residual : a.residual[row]) + product;
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
