// One matrix-fragment interface: D = A·B + C over 16x16x16, f16 or bf16 inputs, f32 accumulator, a wave a
// product.
//
//   FragmentA a; FragmentB b; FragmentAcc c;
//   c.fill(0);
//   for (int r = 0; r < fragment_elements(); ++r) {
//     const FragmentCell in_a = a_cell(lane_id(), r), in_b = b_cell(lane_id(), r);  // k: a's column, b's row
//     a.x[r] = f32_to_f16_rn(A[row0 + in_a.row][k0 + in_a.column]);
//     b.x[r] = f32_to_f16_rn(B[k0 + in_b.row][column0 + in_b.column]);
//   }
//   mma(c, a, b);  // all lanes of a full wave, at the same line; of bf16: mma<Operand::bf16>(c, a, b)
//   for (int r = 0; r < fragment_elements(); ++r) {
//     const FragmentCell at = acc_cell(lane_id(), r);
//     D[row0 + at.row][column0 + at.column] = c.x[r];
//   }
//
// Elements r and r + 1 of A and B, r even, are neighbours in k. The arithmetic is the machine's: CDNA's and
// NVIDIA's matrix units are not IEEE (docs/contracts.md); the host's is what it was configured to be
// (host_unit.hpp), bit for bit.
#pragma once

#include "kernels/hip/fragment_layout.hpp"
#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

#if defined(GRETA_HIP_HOST)
inline int fragment_elements() { return kTile * kTile / wave_size(); }
inline constexpr int kFragmentStorage = kMaxFragment;
#else
__host__ __device__ constexpr int fragment_elements() { return kTile * kTile / wave_size(); }
inline constexpr int kFragmentStorage = kTile * kTile / wave_size();
#endif

struct FragmentA {
  half_bits x[kFragmentStorage];
};
struct FragmentB {
  half_bits x[kFragmentStorage];
};
struct FragmentAcc {
  float x[kFragmentStorage];
  __device__ void fill(float value) {
    for (int r = 0; r < kFragmentStorage; ++r) x[r] = value;
  }
};

#if defined(GRETA_HIP_HOST)
}  // namespace greta::kernels::inline GRETA_MACHINE

namespace greta::kernels::host {
// The layouts spelled out, since the wave size is known only at run time.
struct FragmentCells {
  struct {
    uint8_t row, column;
  } at[2][kTile * kTile];  // by wave 64, 32; lane · elements + r
  constexpr explicit FragmentCells(FragmentLayout (*layout)(int)) : at{} {
    for (int wave = 32; wave <= 64; wave += 32) {
      const int elements = kTile * kTile / wave;
      for (int i = 0; i < kTile * kTile; ++i) {
        const FragmentCell cell = cell_of(layout(wave), wave, i / elements, i % elements);
        at[wave == 32][i] = {static_cast<uint8_t>(cell.row), static_cast<uint8_t>(cell.column)};
      }
    }
  }
  FragmentCell of(int lane, int r) const {
    const bool narrow = wave_size() == 32;
    const auto& cell = at[narrow][lane * (narrow ? 8 : 4) + r];
    return {cell.row, cell.column};
  }
};
inline constexpr FragmentCells kCellsA(layout_a), kCellsB(layout_b), kCellsAcc(layout_acc);
}  // namespace greta::kernels::host

namespace greta::kernels::inline GRETA_MACHINE {

inline FragmentCell a_cell(int lane, int r) { return host::kCellsA.of(lane, r); }
inline FragmentCell b_cell(int lane, int r) { return host::kCellsB.of(lane, r); }
inline FragmentCell acc_cell(int lane, int r) { return host::kCellsAcc.of(lane, r); }
#else
__device__ __forceinline__ FragmentCell a_cell(int lane, int r) {
  return cell_of(layout_a(wave_size()), wave_size(), lane, r);
}
__device__ __forceinline__ FragmentCell b_cell(int lane, int r) {
  return cell_of(layout_b(wave_size()), wave_size(), lane, r);
}
__device__ __forceinline__ FragmentCell acc_cell(int lane, int r) {
  return cell_of(layout_acc(wave_size()), wave_size(), lane, r);
}
#endif

#if defined(GRETA_HIP_AMD)

template <Operand O = Operand::f16>
__device__ __forceinline__ void mma(FragmentAcc& c, const FragmentA& a, const FragmentB& b) {
#if defined(__HIP_DEVICE_COMPILE__)
  using Half4 = _Float16 __attribute__((ext_vector_type(4)));
  using Short4 = short __attribute__((ext_vector_type(4)));  // how the builtin takes bf16
  using Float4 = float __attribute__((ext_vector_type(4)));
  const Float4 in = __builtin_bit_cast(Float4, c);
  if constexpr (O == Operand::f16) {
    c = __builtin_bit_cast(FragmentAcc,
                           __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(Half4, a),
                                                                 __builtin_bit_cast(Half4, b), in, 0, 0, 0));
  } else {
    c = __builtin_bit_cast(
        FragmentAcc, __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(Short4, a),
                                                               __builtin_bit_cast(Short4, b), in, 0, 0, 0));
  }
#endif
}

#elif defined(GRETA_HIP_NVIDIA)

template <Operand O = Operand::f16>
__device__ __forceinline__ void mma(FragmentAcc& c, const FragmentA& a, const FragmentB& b) {
  const auto pair = [](const half_bits* x, int q) {
    return static_cast<uint32_t>(x[2 * q]) | static_cast<uint32_t>(x[2 * q + 1]) << 16;
  };
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // columns 0-7, then 8-15
    float* const d = c.x + 4 * half;
#define GRETA_MMA(type)                                                             \
  asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                        \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"        \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                              \
      : "r"(pair(a.x, 0)), "r"(pair(a.x, 1)), "r"(pair(a.x, 2)), "r"(pair(a.x, 3)), \
        "r"(pair(b.x, 2 * half)), "r"(pair(b.x, 2 * half + 1)))
    if constexpr (O == Operand::f16) {
      GRETA_MMA("f16");
    } else {
      GRETA_MMA("bf16");
    }
#undef GRETA_MMA
  }
}

#else

}  // namespace greta::kernels::inline GRETA_MACHINE

namespace greta::kernels::host {
struct MmaOperands {
  float* c;
  const half_bits *a, *b;
  Operand operand;
};
// All lanes' operands, multiplied as whole tiles through the layout table. An error when the wave is not
// full.
void wave_mma(const MmaOperands& operands, SourceLocation where);
}  // namespace greta::kernels::host

namespace greta::kernels::inline GRETA_MACHINE {

template <Operand O = Operand::f16>
void mma(FragmentAcc& c, const FragmentA& a, const FragmentB& b,
         SourceLocation where = SourceLocation::current()) {
  host::wave_mma({c.x, a.x, b.x, O}, where);
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
