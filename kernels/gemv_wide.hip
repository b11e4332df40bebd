// y[s, n] = Σ_k x[s, k] · W[n, k] at the memory's speed: the tuning `wide` of the route valu, gemv. How it
// works: gemv_block.hpp; how each type is taken apart: gemv_lane_*.hpp.
#include "kernels/gemv_launch.hpp"
#include "kernels/matmul.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int64_t kRowsOfX = 32768;  // of one launch; a grid's y ends at 65535

}  // namespace

Attested matmul_valu_gemv_wide(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const Projection projection{w, y};
  return gemv::with_lanes({&projection, 1}, [&]<class A, class B, int kRows>() -> Attested {
    if constexpr (std::is_same_v<A, B>) {
      gemv::Plan p = gemv::plan<A, A, kRows, kGemvTeams, kGemvBlocks>("matmul_valu_gemv_wide",
                                                                      {&projection, 1}, x, nullptr, nullptr);
      for (int64_t s = 0; s < rows; s += kRowsOfX) {
        p.args.x = x + s * w.columns;
        p.args.m[0].y = y + s * w.rows;
        gemv::launch<A, A, StoreRow, 1, false, kRows, kGemvTeams, kGemvBlocks>(
            stream, p, static_cast<unsigned>(std::min(kRowsOfX, rows - s)));
      }
      return {p.name, sum_contract("matmul", "f32", p.chain)};
    } else {
      throw LaunchError("matmul: one matrix cannot be of two types");
    }
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
