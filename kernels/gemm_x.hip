// x as the matrix unit's operands, in the order in which the lanes own the weights (gemm_weights.hpp): a
// thread 8 places of one row; 0 where there is no such row or k.
#include "kernels/gemm_wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kThreads = 256, kPlaces = 8;

template <WeightType T, Operand O>
__global__ void operands_of_x_kernel(const float* x, int64_t rows, int K, unsigned chunks,
                                     unsigned blocks_a_row, half_bits* out) {
  using Lane = LaneWeights<T>;
  const int64_t row = blockIdx.x / blocks_a_row;
  const unsigned chunk = blockIdx.x % blocks_a_row * kThreads + threadIdx.x;
  if (chunk >= chunks) return;
  const int place = static_cast<int>(chunk) * kPlaces;
  const int step = place / Lane::kStep, product = place % Lane::kStep / kTile, first = place % kTile;
  float values[kPlaces];
  GRETA_UNROLL
  for (int i = 0; i < kPlaces; ++i) {
    const int k = step * Lane::kStep + Lane::k_of(group_of_k(first + i), product, place_of_k(first + i));
    values[i] = row < rows && k < K ? x[row * K + k] : 0.0f;
  }
  uint4 operands;
  operands.x = operand_pair<O>(values[0], values[1]);
  operands.y = operand_pair<O>(values[2], values[3]);
  operands.z = operand_pair<O>(values[4], values[5]);
  operands.w = operand_pair<O>(values[6], values[7]);
  reinterpret_cast<uint4*>(out)[row * chunks + chunk] = operands;
}

template <WeightType T, Operand O>
void launch(hipStream_t stream, const float* x, int64_t rows, int64_t made_rows, int K, int tiles,
            half_bits* out) {
  const unsigned chunks = static_cast<unsigned>(tiles) * (kPanel / kPlaces);
  const auto blocks_a_row = static_cast<unsigned>(ceil_div(chunks, kThreads));
  const unsigned grid = grid_for(made_rows * blocks_a_row, 1, "matmul");
  hipLaunchKernelGGL(HIP_KERNEL_NAME(operands_of_x_kernel<T, O>), dim3(grid), dim3(kThreads), 0, stream, x,
                     rows, K, chunks, blocks_a_row, out);
  check_launched("operands_of_x");
}

}  // namespace

void operands_of_x(hipStream_t stream, WeightType type, Operand operand, const float* x, int64_t rows,
                   int64_t made_rows, int K, int tiles, half_bits* out) {
  with_weight_type(type, [&]<WeightType T>() {
    operand == Operand::f16 ? launch<T, Operand::f16>(stream, x, rows, made_rows, K, tiles, out)
                            : launch<T, Operand::bf16>(stream, x, rows, made_rows, K, tiles, out);
  });
}

}  // namespace greta::kernels::inline GRETA_MACHINE
