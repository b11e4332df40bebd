// Who owns which element of a 16x16x16 matrix product: the one table that kernels load and store by, the host
// machine multiplies by, and a probe can check. Each wave owns 256 elements of A (row, k), of B (k, column)
// and of the accumulator (row, column), 256 / wave a lane, in registers r = 0, 1, …. All layouts in use are
// permutations of index bits, so a layout is written as which bits make the row and the column.
//
//   wave 64, v_mfma_f32_16x16x16_f16 (AMD's matrix instruction calculator):
//     A row l%16, k 4(l/16)+r      B column l%16, k 4(l/16)+r      D row 4(l/16)+r, column l%16
//   wave 32, two mma.sync.m16n8k16, columns 0-7 and 8-15 (PTX ISA, "Matrix fragments for mma.m16n8k16"):
//     A row 8((r/2)%2)+l/4, k 8(r/4)+2(l%4)+r%2
//     B column 8(r/4)+l/4, k 8((r/2)%2)+2(l%4)+r%2
//     D row 8((r/2)%2)+l/4, column 8(r/4)+2(l%4)+r%2
#pragma once

#include <cstdint>

namespace greta::kernels {

inline constexpr int kTile = 16;  // rows, columns and k of one product
// Of a lane, at the smaller wave. fragment_elements() is what a lane has at this wave.
inline constexpr int kMaxFragment = 8;

// Hexadecimal digit i (from the right): the bit of `register · wave + lane` that is bit i of the row (or
// column, or k).
struct FragmentLayout {
  uint16_t row;     // of A and D; of B: k
  uint16_t column;  // of B and D; of A: k
};

struct FragmentCell {
  int row, column;
};

#if defined(__CUDACC__) || defined(__HIP__)
#define GRETA_ANYWHERE __host__ __device__
#else
#define GRETA_ANYWHERE
#endif

//                                                 wave 64           wave 32
GRETA_ANYWHERE constexpr FragmentLayout layout_a(int wave) {
  return wave == 64 ? FragmentLayout{0x3210, 0x5476} : FragmentLayout{0x6432, 0x7105};
}
GRETA_ANYWHERE constexpr FragmentLayout layout_b(int wave) {
  return wave == 64 ? FragmentLayout{0x5476, 0x3210} : FragmentLayout{0x6105, 0x7432};
}
GRETA_ANYWHERE constexpr FragmentLayout layout_acc(int wave) {
  return wave == 64 ? FragmentLayout{0x5476, 0x3210} : FragmentLayout{0x6432, 0x7105};
}

GRETA_ANYWHERE constexpr int pick_bits(unsigned index, unsigned digits) {
  return static_cast<int>((index >> (digits & 15) & 1) | (index >> (digits >> 4 & 15) & 1) << 1 |
                          (index >> (digits >> 8 & 15) & 1) << 2 | (index >> (digits >> 12 & 15) & 1) << 3);
}

GRETA_ANYWHERE constexpr FragmentCell cell_of(FragmentLayout layout, int wave, int lane, int r) {
  const auto index = static_cast<unsigned>(r * wave + lane);
  return {pick_bits(index, layout.row), pick_bits(index, layout.column)};
}

}  // namespace greta::kernels
