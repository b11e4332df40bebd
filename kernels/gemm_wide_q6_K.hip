// The wide matrix-core product of q6_K (gemm_wide.hpp).
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template std::string gemm_wide<WeightType::q6_K>(const GemmCall&);

}  // namespace greta::kernels::inline GRETA_MACHINE
