// The wide matrix-core product of f32 and bf16 (gemm_wide.hpp).
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template std::string gemm_wide<WeightType::f32>(const GemmCall&);
template std::string gemm_wide<WeightType::bf16>(const GemmCall&);

}  // namespace greta::kernels::inline GRETA_MACHINE
