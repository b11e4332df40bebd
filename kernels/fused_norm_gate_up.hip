// n = rmsnorm(x) · norm_weight, act = swiglu(Wg · n, Wu · n) in one launch. A block has the same rows of both
// matrices, so that it has both operands of each activation.
//
// exp=2 div=1: as in swiglu.hip.
#include "kernels/gemv_parts_launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct StoreActivation {
  static constexpr bool kApart = false, kResident = false;
  __device__ static float early(const GemvArgs&, const GemvShare&) { return 0; }
  template <class Rows, class Value>
  __device__ static void run(const GemvArgs& a, const Rows& rows, float, const Value& value) {
    rows.each(0, [&](int64_t row, int r) {
      const float gate = value(0, r), up = value(1, r);
      if (a.m[0].y) a.m[0].y[row] = gate;
      if (a.m[1].y) a.m[1].y[row] = up;
      a.out[row] = gate / (1.0f + expf(-gate)) * up;
    });
  }
};

}  // namespace

NormGateUpRan norm_gate_up(hipStream_t stream, const float* x, const float* norm_weight, int64_t columns,
                           float eps, const Weight& gate, const Weight& up, float* norm_out, float* gate_out,
                           float* up_out, float* act_out, Unit unit) {
  constexpr const char* kOp = "norm_gate_up";
  require_weight(gate, kOp);
  require_weight(up, kOp);
  require(x != nullptr && norm_weight != nullptr && act_out != nullptr, kOp,
          "x, norm_weight or act_out is null");
  require(gate.rows == up.rows, kOp,
          "gate has " + std::to_string(gate.rows) + " rows and up " + std::to_string(up.rows));
  require(gate.columns == columns && up.columns == columns, kOp,
          "weights of " + std::to_string(gate.columns) + " and " + std::to_string(up.columns) +
              " columns for a row of " + std::to_string(columns));
  const Projection both[] = {{gate, gate_out}, {up, up_out}};
  if (unit == Unit::mfma && gemv_parts::takes(both, {x, norm_weight, norm_out})) {
    return gemv_parts::with_lanes(both, [&]<class A, class B>() -> NormGateUpRan {
      gemv_parts::Plan p = gemv_parts::plan<A, B, StoreActivation>(kOp, both, x, norm_weight);
      p.args.common.eps = eps;
      p.args.common.norm_out = norm_out;
      p.args.common.out = act_out;
      gemv_parts::launch<A, B, StoreActivation, 2, true>(stream, p, 1);
      const Attested product{p.name, p.contract};
      return {{p.name, p.norm_contract}, product, product, {p.name, "op=swiglu exp=2 div=1"}};
    });
  }
  return gemv::with_lanes(both, [&]<class A, class B, int kRows>() -> NormGateUpRan {
    // Two rows of two matrices of Q6_K are more than the registers hold.
    constexpr int kRowsHere = std::is_same_v<A, GemvLane<WeightType::q6_K>> ? 1 : kRows;
    gemv::Plan p = gemv::plan<A, B, kRowsHere, kGemvTeams, kGemvBlocks>(kOp, both, x, norm_weight, norm_out);
    p.args.eps = eps;
    p.args.norm_out = norm_out;
    p.args.out = act_out;
    gemv::launch<A, B, StoreActivation, 2, true, kRowsHere, kGemvTeams, kGemvBlocks>(stream, p, 1);
    const Attested product{p.name, sum_contract("matmul", "f32", p.chain)};
    return {{p.name, "op=rmsnorm chain=" + std::to_string(gemv::norm_chain<kGemvTeams>(columns)) + " sqrt=2"},
            product,
            product,
            {p.name, "op=swiglu exp=2 div=1"}};
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
