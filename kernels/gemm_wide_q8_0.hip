// The wide matrix-core product of q8_0 (gemm_wide.hpp).
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template std::string gemm_wide<WeightType::q8_0>(const GemmCall&);

}  // namespace greta::kernels::inline GRETA_MACHINE
