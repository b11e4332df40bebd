// The wide matrix-core product of q4_K (gemm_wide.hpp).
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template std::string gemm_wide<WeightType::q4_K>(const GemmCall&);

}  // namespace greta::kernels::inline GRETA_MACHINE
