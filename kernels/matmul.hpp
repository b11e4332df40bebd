// The routes of matmul, one file each. Private to kernels/: callers use matmul() of kernels.hpp.
//
// All take w [N, K] packed, x [rows, K], y [rows, N]; the arguments are already checked.
#pragma once

#include "kernels/kernels.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

Attested matmul_valu_gemm(hipStream_t, const Weight& w, const float* x, int64_t rows, float* y);
Attested matmul_valu_gemv(hipStream_t, const Weight& w, const float* x, int64_t rows, float* y);
Attested matmul_valu_gemv_wide(hipStream_t, const Weight& w, const float* x, int64_t rows, float* y);
Attested matmul_mfma_gemm(hipStream_t, Operand, const Weight& w, const float* x, int64_t rows, float* y);
// The same for a card (gemm_wide.hpp); w.data lies at a multiple of 16 bytes.
Attested matmul_mfma_gemm_wide(hipStream_t, Operand, const Weight& w, const float* x, int64_t rows, float* y);
// Straight from the integers of Q4_K and Q6_K (gemv_parts_block.hpp); has_parts_gemv(): whether it takes
// these.
bool has_parts_gemv(const Weight& w, const float* x);
Attested matmul_mfma_gemv_wide(hipStream_t, const Weight& w, const float* x, int64_t rows, float* y);
Attested matmul_mfma_gemv(hipStream_t, Operand, const Weight& w, const float* x, int64_t rows, float* y);

}  // namespace greta::kernels::inline GRETA_MACHINE
