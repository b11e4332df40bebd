// Rows of a 16x16 accumulator, as softmax needs them: which row a register belongs to, reductions along a
// row, and the accumulator as the A of the next product. Private to kernels/.
//
//   wave 32: a lane has 2 rows, 4 columns of each; 4 neighbouring lanes share a row, and the layout of A is
//            the accumulator's own
//   wave 64: a lane has 1 column of 4 rows; 16 neighbouring lanes share these, and A is its transpose
#pragma once

#include "kernels/hip/fragment.hpp"
#include "kernels/hip/wave_group.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kMaxLaneRows = 4;
__host__ __device__ constexpr int lane_rows(int wave) { return wave == 64 ? 4 : 2; }
#if defined(GRETA_HIP_HOST)
inline constexpr int kLaneRowStorage = kMaxLaneRows;
#else
inline constexpr int kLaneRowStorage = lane_rows(wave_size());
#endif

// The row of register r among the lane's own; of such a row the first register, and its place in the tile.
__device__ __forceinline__ int lane_row_of(int r) { return wave_size() == 64 ? r : r / 2 % 2; }
__device__ __forceinline__ int register_of(int lane_row) {
  return wave_size() == 64 ? lane_row : 2 * lane_row;
}
__device__ __forceinline__ int row_in_tile(int lane_row) {
  return acc_cell(lane_id(), register_of(lane_row)).row;
}

// Over the lanes that share the lane's rows; every lane of the wave at the same line.
__device__ __forceinline__ float row_maximum(float value) {
  for (int mask = 1; mask < (wave_size() == 64 ? 16 : 4); mask *= 2) {
    value = fmaxf(value, wave_shuffle_xor(value, mask));
  }
  return value;
}
__device__ __forceinline__ float row_sum(float value) {
  for (int mask = 1; mask < (wave_size() == 64 ? 16 : 4); mask *= 2) value += wave_shuffle_xor(value, mask);
  return value;
}

// Two values rounded to nearest even, the first in the lower half.
template <Operand O>
__device__ __forceinline__ uint32_t rounded_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  if constexpr (O == Operand::f16) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  }
  return pair;
#else
  return f32_to_operand_rn<O>(first) | static_cast<uint32_t>(f32_to_operand_rn<O>(second)) << 16;
#endif
}

// The accumulator's values, rounded, as A: row i and k = column.
template <Operand O>
__device__ __forceinline__ PairsA as_rows_of_a(const FragmentAcc& acc) {
  PairsA pairs{};
  GRETA_UNROLL
  for (int q = 0; q < fragment_elements() / 2; ++q) {
    pairs.x[q] = rounded_pair<O>(acc.x[2 * q], acc.x[2 * q + 1]);
  }
  if (wave_size() == 32) return pairs;
  // Row lane % 16 of column 4 (lane / 16) + r lies with lane 16 (row / 4) + column, in register row % 4.
  const int row = lane_id() % 16;
  PairsA a{};
  GRETA_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int from = row / 4 * 16 + lane_id() / 16 * 4 + r;
    const uint32_t low = wave_shuffle(pairs.x[0], from), high = wave_shuffle(pairs.x[1], from);
    a.x[r / 2] |= ((row % 4 < 2 ? low : high) >> row % 2 * 16 & 0xffff) << r % 2 * 16;
  }
  return a;
}

}  // namespace greta::kernels::inline GRETA_MACHINE
