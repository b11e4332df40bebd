// y[s, n] = Σ_k x[s, k] · W[n, k] by 16x16x16 products of f16 or bf16 into f32, each row of x alone: row 0 of
// A is x, its other 15 rows are zero.
//
// A block is one wave and makes 16 rows of W; each lane unpacks the weights that it feeds to the matrix unit
// (fragment_k.hpp). No shared memory, no barriers. Costs 8 products a step of 128 along K, of whose work one
// row in 16 is used: the matrix unit waits for memory here anyway.
#include "kernels/fragment_k.hpp"
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

template <WeightType T, Operand O>
__global__ void mfma_gemv_kernel(const uint8_t* w, int64_t N, int64_t K, const float* x, float* y) {
  const int64_t tiles_n = ceil_div(N, kTile);
  const int64_t s = blockIdx.x / tiles_n, n0 = blockIdx.x % tiles_n * kTile;
  const LaneMap map = lane_map();
  const bool has_x = map.a_row[0] == 0;  // this lane holds part of row 0

  FragmentAcc sums;
  sums.fill(0);
  for (int64_t k0 = 0; k0 < K; k0 += kStepK) {
    const int64_t k = k0 + map.group * kChunk;
    half_bits weights[kMaxColumns][kChunk];
    for (int c = 0; c < lane_columns(); ++c) weight_chunk<T, O>(w, n0 + map.columns[c], N, k, K, weights[c]);
    half_bits xs[kChunk] = {};
    for (int i = 0; has_x && i < kChunk && k + i < K; ++i) xs[i] = f32_to_operand_rn<O>(x[s * K + k + i]);
    for (int i = 0; i < kProducts; ++i) {
      FragmentA a;
      FragmentB b;
      for (int r = 0; r < fragment_elements(); ++r) {
        a.x[r] = map.a_row[r] == 0 ? xs[4 * i + map.a_at[r]] : half_bits{0};
        b.x[r] = weights[map.b_column[r]][4 * i + map.b_at[r]];
      }
      mma<O>(sums, a, b);
    }
  }
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell cell = acc_cell(lane_id(), r);
    if (cell.row == 0 && n0 + cell.column < N) y[s * N + n0 + cell.column] = sums.x[r];
  }
}

}  // namespace

Attested matmul_mfma_gemv(hipStream_t stream, Operand operand, const Weight& w, const float* x, int64_t rows,
                          float* y) {
  const std::string unit = matrix_unit();
  const int wave = wave_size();
  const std::string name = std::string("matmul_mfma_gemv_") + packing(w.type).name +
                           "<rows=" + std::to_string(kTile) + ",step=" + std::to_string(kStepK) +
                           ",wave=" + std::to_string(wave) + ",operand=" + operand_name(operand) + ">";
  const unsigned grid = grid_for(rows * ceil_div(w.rows, kTile), 1, "matmul");
  with_weight_type(w.type, [&]<WeightType T>() {
    with_operand(operand, [&]<Operand O>() {
      hipLaunchKernelGGL(HIP_KERNEL_NAME(mfma_gemv_kernel<T, O>), dim3(grid), dim3(wave), 0, stream,
                         static_cast<const uint8_t*>(w.data), w.rows, w.columns, x, y);
    });
  });
  check_launched(name);
  return {name, sum_contract("matmul", operand_name(operand), mfma_chain(w.columns, unit), unit)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
