// The matrix-core product for a card: by weight type.
#include "kernels/gemm_call.hpp"
#include "kernels/gemm_weights.hpp"
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// As mfma_chain (fragment_k.hpp) has it, for this order of k: 16 for each product that has one below K.
template <WeightType T>
int64_t wide_chain(int64_t K, const std::string& unit) {
  using Lane = LaneWeights<T>;
  if (unit == "ieee") return K;
  const int64_t rest = K % Lane::kStep;
  int64_t chain = K - rest;
  for (int product = 0; product < Lane::kStep / kTile; ++product) {
    bool any = false;
    for (int i = 0; i < kTile; ++i) any |= Lane::k_of(i / 4, product, i % 4) < rest;
    chain += any ? kTile : 0;
  }
  return chain;
}

Attested matmul_mfma_gemm_wide(hipStream_t stream, Operand operand, const Weight& w, const float* x,
                               int64_t rows, float* y) {
  const GemmCall call{stream, operand, w, x, rows, y};
  const std::string unit = matrix_unit();
  return with_weight_type(w.type, [&]<WeightType TYPE>() {
    const std::string name = gemm_wide<TYPE>(call);
    return Attested{name,
                    sum_contract("matmul", operand_name(operand), wide_chain<TYPE>(w.columns, unit), unit)};
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
