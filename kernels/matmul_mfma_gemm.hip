// y[s, n] = Σ_k x[s, k] · W[n, k] by 16x16x16 products of f16 or bf16 into f32, tiled over rows of x and of
// W.
//
// A block of 4 waves makes 16·M rows of x by 64 rows of W (M = 4, or 1 for at most 16 rows of x), each wave
// 16 rows of W with M accumulators, so a weight is unpacked once for 16·M rows of x, by the lane that feeds
// it to the matrix unit (fragment_k.hpp). The tile of x is rounded once and shared. Costs a step of
// 128 along K: two barriers, 8·M products a wave; 16·M · 136 · 2 bytes of shared memory.
#include "kernels/fragment_k.hpp"
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kWaves = 4;
constexpr int kTileN = kWaves * kTile;
constexpr int kStride = kStepK + 8;  // of a row of the shared tile
constexpr int kRun = 8;              // values of x a thread rounds at a time

// xs[m][k] = x[m0 + m][k0 + k], rounded, m < rows_in_tile; zeros beyond the matrix.
template <Operand O>
__device__ inline void load_x(const float* x, int64_t rows, int64_t K, int64_t m0, int64_t k0,
                              int rows_in_tile, half_bits* xs) {
  for (int run = static_cast<int>(threadIdx.x); run < rows_in_tile * (kStepK / kRun);
       run += static_cast<int>(blockDim.x)) {
    const int m = run / (kStepK / kRun), k = run % (kStepK / kRun) * kRun;
    const float* from = x + (m0 + m) * K + k0 + k;
    const int64_t left = m0 + m < rows ? K - k0 - k : 0;
    half_bits* to = xs + m * kStride + k;
    if (left >= kRun) {
      for (int i = 0; i < kRun; ++i) to[i] = f32_to_operand_rn<O>(from[i]);
    } else {
      for (int i = 0; i < kRun; ++i) to[i] = i < left ? f32_to_operand_rn<O>(from[i]) : half_bits{0};
    }
  }
}

template <WeightType TYPE, Operand O, int M>
__global__ void mfma_gemm_kernel(const uint8_t* w, int64_t N, int64_t K, const float* x, int64_t rows,
                                 float* y) {
  GRETA_SHARED(half_bits, xs, kTile * M * kStride);
  const int64_t tiles_n = ceil_div(N, kTileN);
  const int64_t m0 = blockIdx.x / tiles_n * (kTile * M);
  const int64_t n0 = blockIdx.x % tiles_n * kTileN + wave_id() * kTile;
  const LaneMap map = lane_map();

  FragmentAcc sums[M];
  for (int m = 0; m < M; ++m) sums[m].fill(0);
  for (int64_t k0 = 0; k0 < K; k0 += kStepK) {
    load_x<O>(x, rows, K, m0, k0, kTile * M, xs);
    half_bits weights[kMaxColumns][kChunk];
    for (int c = 0; c < lane_columns(); ++c) {
      weight_chunk<TYPE, O>(w, n0 + map.columns[c], N, k0 + map.group * kChunk, K, weights[c]);
    }
    __syncthreads();
    for (int i = 0; i < kProducts; ++i) {
      FragmentB b;
      for (int r = 0; r < fragment_elements(); ++r) b.x[r] = weights[map.b_column[r]][4 * i + map.b_at[r]];
      for (int m = 0; m < M; ++m) {
        FragmentA a;
        for (int r = 0; r < fragment_elements(); ++r) {
          a.x[r] = xs[(m * kTile + map.a_row[r]) * kStride + map.group * kChunk + 4 * i + map.a_at[r]];
        }
        mma<O>(sums[m], a, b);
      }
    }
    __syncthreads();
  }
  for (int m = 0; m < M; ++m) {
    for (int r = 0; r < fragment_elements(); ++r) {
      const FragmentCell cell = acc_cell(lane_id(), r);
      const int64_t s = m0 + m * kTile + cell.row, n = n0 + cell.column;
      if (s < rows && n < N) y[s * N + n] = sums[m].x[r];
    }
  }
}

template <WeightType TYPE, Operand O, int M>
std::string launch(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const int wave = wave_size();
  const std::string name = std::string("matmul_mfma_gemm_") + packing(TYPE).name +
                           "<tile=" + std::to_string(kTile * M) + "x" + std::to_string(kTileN) + "x" +
                           std::to_string(kStepK) + ",waves=" + std::to_string(kWaves) +
                           ",wave=" + std::to_string(wave) + ",operand=" + operand_name(O) + ">";
  const unsigned grid = grid_for(ceil_div(rows, kTile * M) * ceil_div(w.rows, kTileN), 1, "matmul");
  hipLaunchKernelGGL(HIP_KERNEL_NAME(mfma_gemm_kernel<TYPE, O, M>), dim3(grid), dim3(kWaves * wave), 0,
                     stream, static_cast<const uint8_t*>(w.data), w.rows, w.columns, x, rows, y);
  check_launched(name);
  return name;
}

}  // namespace

Attested matmul_mfma_gemm(hipStream_t stream, Operand operand, const Weight& w, const float* x, int64_t rows,
                          float* y) {
  const std::string unit = matrix_unit();
  const std::string name = with_weight_type(w.type, [&]<WeightType TYPE>() {
    return with_operand(operand, [&]<Operand O>() {
      return rows <= kTile ? launch<TYPE, O, 1>(stream, w, x, rows, y)
                           : launch<TYPE, O, 4>(stream, w, x, rows, y);
    });
  });
  return {name, sum_contract("matmul", operand_name(operand), mfma_chain(w.columns, unit), unit)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
