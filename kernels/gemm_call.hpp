// The wide matrix-core product of one weight type: what its launcher is told. Private to kernels/.
#pragma once

#include <string>

#include "kernels/kernels.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

struct GemmCall {
  hipStream_t stream;
  Operand operand;
  Weight w;  // data at a multiple of 16 bytes
  const float* x;
  int64_t rows;
  float* y;
};

// Launches it and names what ran. Each type is compiled in one of gemm_wide_*.hip.
template <WeightType T>
std::string gemm_wide(const GemmCall& call);

}  // namespace greta::kernels::inline GRETA_MACHINE
