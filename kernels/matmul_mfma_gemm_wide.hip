// The matrix-core product for a card: by weight type.
#include "kernels/gemm_call.hpp"
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

Attested matmul_mfma_gemm_wide(hipStream_t stream, Operand operand, const Weight& w, const float* x,
                               int64_t rows, float* y) {
  const GemmCall call{stream, operand, w, x, rows, y};
  const std::string name = with_weight_type(w.type, [&]<WeightType TYPE>() { return gemm_wide<TYPE>(call); });
  return {name, sum_contract("matmul", operand == Operand::f16 ? "f16" : "bf16", w.columns)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
