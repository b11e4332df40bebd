// y[s, n] = Σ_k x[s, k] · W[n, k], tiled over rows of x and of W.
//
// A block of 64 threads makes 8·T rows of x by 64 rows of W (T = 4, or 1 for at most 8 rows of x), each
// thread 8 x T of them in registers. Steps of 32 along K: each thread unpacks the chunk of one row of W into
// shared memory, so a weight is decoded once for the block's 8·T rows. Costs: two barriers a step; (8·T + 1 +
// 65) · 32 floats of shared memory; 8·T sums, 8 + T operands in registers.
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kThreadRows = 8;  // of x, a thread
constexpr int kTileN = kBlock;

template <WeightType TYPE, int T>
__global__ __launch_bounds__(kBlock) void gemm_kernel(const uint8_t* w, int64_t N, int64_t K, const float* x,
                                                      int64_t rows, float* y) {
  constexpr int kTileM = kThreadRows * T, kThreadsN = kTileN / T;
  constexpr int kStrideM = kTileM + 1, kStrideN = kTileN + 1;  // odd: no two threads of a store share a bank
  GRETA_SHARED(float, xs, kChunk* kStrideM);                   // [k][m]
  GRETA_SHARED(float, ws, kChunk* kStrideN);                   // [k][n]
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t tiles_n = ceil_div(N, kTileN);
  const int64_t m0 = blockIdx.x / tiles_n * kTileM, n0 = blockIdx.x % tiles_n * kTileN;
  const int m_thread = thread / kThreadsN * kThreadRows, n_thread = thread % kThreadsN * T;
  const int64_t stride = row_bytes(TYPE, K);

  float sums[T][kThreadRows] = {};
  for (int64_t k0 = 0; k0 < K; k0 += kChunk) {
    float weights[kChunk] = {};
    if (n0 + thread < N) unpack_chunk<TYPE>(w + (n0 + thread) * stride, k0, K - k0, weights);
    for (int k = 0; k < kChunk; ++k) ws[k * kStrideN + thread] = weights[k];
    for (int i = thread; i < kTileM * kChunk; i += kBlock) {
      const int m = i / kChunk, k = i % kChunk;
      xs[k * kStrideM + m] = m0 + m < rows && k0 + k < K ? x[(m0 + m) * K + k0 + k] : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < kChunk; ++k) {
      float a[kThreadRows];
      for (int i = 0; i < kThreadRows; ++i) a[i] = xs[k * kStrideM + m_thread + i];
      for (int j = 0; j < T; ++j) {
        const float b = ws[k * kStrideN + n_thread + j];
        for (int i = 0; i < kThreadRows; ++i) sums[j][i] = fmaf(a[i], b, sums[j][i]);
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < kThreadRows && m0 + m_thread + i < rows; ++i) {
    for (int j = 0; j < T && n0 + n_thread + j < N; ++j) {
      y[(m0 + m_thread + i) * N + n0 + n_thread + j] = sums[j][i];
    }
  }
}

template <WeightType TYPE, int T>
std::string launch(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  constexpr int kTileM = kThreadRows * T;
  const std::string name = std::string("matmul_valu_gemm_") + packing(TYPE).name +
                           "<tile=" + std::to_string(kTileM) + "x" + std::to_string(kTileN) + "x" +
                           std::to_string(kChunk) + ",block=" + std::to_string(kBlock) + ">";
  const unsigned grid = grid_for(ceil_div(rows, kTileM) * ceil_div(w.rows, kTileN), 1, "matmul");
  hipLaunchKernelGGL(HIP_KERNEL_NAME(gemm_kernel<TYPE, T>), dim3(grid), dim3(kBlock), 0, stream,
                     static_cast<const uint8_t*>(w.data), w.rows, w.columns, x, rows, y);
  check_launched(name);
  return name;
}

}  // namespace

Attested matmul_valu_gemm(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const std::string name = with_weight_type(w.type, [&]<WeightType TYPE>() {
    return rows <= kThreadRows ? launch<TYPE, 1>(stream, w, x, rows, y)
                               : launch<TYPE, 4>(stream, w, x, rows, y);
  });
  // One sum a result, k by k; the zeros beyond K add nothing.
  return {name, sum_contract("matmul", "f32", w.columns)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
