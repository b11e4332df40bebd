// y[s, n] = Σ_k x[s, k] · W[n, k] through the matrix unit, straight from Q4_K's and Q6_K's integers: the
// tuning `wide` of the route mfma, gemv. How it works: gemv_parts_block.hpp, gemv_parts_lane.hpp.
#include "kernels/gemv_parts_launch.hpp"
#include "kernels/matmul.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int64_t kRowsOfX = 32768;  // of one launch; a grid's y ends at 65535

}  // namespace

bool has_parts_gemv(const Weight& w, const float* x) {
  const Projection projection{w, nullptr};
  return gemv_parts::takes({&projection, 1}, {x});
}

Attested matmul_mfma_gemv_wide(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const Projection projection{w, y};
  return gemv_parts::with_lanes({&projection, 1}, [&]<class A, class B>() -> Attested {
    if constexpr (std::is_same_v<A, B>) {
      gemv_parts::Plan p =
          gemv_parts::plan<A, A, StoreRow>("matmul_mfma_gemv_wide", {&projection, 1}, x, nullptr);
      for (int64_t s = 0; s < rows; s += kRowsOfX) {
        p.args.common.x = x + s * w.columns;
        p.args.common.m[0].y = y + s * w.rows;
        gemv_parts::launch<A, A, StoreRow, 1, false>(stream, p,
                                                     static_cast<unsigned>(std::min(kRowsOfX, rows - s)));
      }
      return {p.name, p.contract};
    } else {
      throw LaunchError("matmul: one matrix cannot be of two types");
    }
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
