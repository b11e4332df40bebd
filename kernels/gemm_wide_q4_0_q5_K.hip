// The wide matrix-core product of Q4_0 and Q5_K (gemm_wide.hpp).
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template std::string gemm_wide<WeightType::q4_0>(const GemmCall&);
template std::string gemm_wide<WeightType::q5_K>(const GemmCall&);

}  // namespace greta::kernels::inline GRETA_MACHINE
