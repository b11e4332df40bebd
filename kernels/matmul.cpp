// The dispatcher of matmul: a route is a setting, and what is launched is what it says.
#include "kernels/matmul.hpp"

#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

Attested matmul(hipStream_t stream, Route route, const Weight& w, const float* x, int64_t rows, float* y) {
  require_weight(w, "matmul");
  require(x != nullptr && y != nullptr, "matmul", "x or y is null");
  require(rows > 0, "matmul", "x has no rows");
  if (route.unit == Unit::valu) {
    if (route.shape == Shape::gemm) return matmul_valu_gemm(stream, w, x, rows, y);
    return route.tuning == Tuning::wide ? matmul_valu_gemv_wide(stream, w, x, rows, y)
                                        : matmul_valu_gemv(stream, w, x, rows, y);
  }
  // Its copies are of 16 bytes at multiples of 16: a weight that lies elsewhere takes the plain kernel.
  if (route.shape == Shape::gemm && route.tuning == Tuning::wide &&
      reinterpret_cast<uintptr_t>(w.data) % 16 == 0) {
    return matmul_mfma_gemm_wide(stream, route.operand, w, x, rows, y);
  }
  if (route.shape == Shape::gemv && route.tuning == Tuning::wide && has_parts_gemv(w, x))
    return matmul_mfma_gemv_wide(stream, w, x, rows, y);
  return route.shape == Shape::gemm ? matmul_mfma_gemm(stream, route.operand, w, x, rows, y)
                                    : matmul_mfma_gemv(stream, route.operand, w, x, rows, y);
}

}  // namespace greta::kernels::inline GRETA_MACHINE
