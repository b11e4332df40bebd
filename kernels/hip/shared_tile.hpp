// A tile of 16-bit values in shared memory, as the matrix unit likes to read it, and what moves it: copies of
// 16 bytes from device memory that overlap with work, and fragments out of it.
//
// A tile of `rows` rows lies in panels of 64 columns, a row of a panel in 128 bytes; the 16-byte piece c of
// row r lies at c ^ (r % 8), so that 8 neighbouring rows of one piece are in 8 different banks of 16 bytes
// (NVIDIA's "128-byte swizzle": the unit of a wave group reads the very same layout, wave_group.hpp).
//
//   copy_piece(to, from, there)        16 bytes; zeros where !there, `from` is not read then
//   copies_commit()                    what was copied since the last commit becomes one group
//   copies_wait<N>()                   until at most N of this thread's groups are under way; a barrier still
//                                      has to follow before others' pieces are read
//   fragment_by_rows(tile, …)          B of a product: b(k, n) = tile(n0 + n, k0 + k)
//   fragment_by_columns(tile, …)       B of a product: b(k, n) = tile(k0 + k, n0 + n)
//                                      rows and columns where a fragment begins: multiples of 16
// On AMD and on the host a copy is done when copy_piece returns.
#pragma once

#include <cstring>

#include "kernels/hip/fragment.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Before a launch with more dynamic shared memory than NVIDIA gives unasked (48 KiB).
template <typename Kernel>
void allow_shared([[maybe_unused]] Kernel* kernel, [[maybe_unused]] size_t bytes) {
#if defined(GRETA_HIP_NVIDIA) && defined(__CUDACC__)
  // A refusal shows at the launch.
  (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
#endif
}

inline constexpr int kPanel = 64;  // columns of a panel
inline constexpr int kPiece = 8;   // values of a piece
// Of a tile in bytes, so that the pieces' exchange depends on the row alone.
inline constexpr int kTileAlign = 1024;

// Where (row, column) of a tile of `rows` rows lies.
__host__ __device__ __forceinline__ constexpr int tile_at(int rows, int row, int column) {
  return (column / kPanel * rows + row) * kPanel + ((column % kPanel / kPiece) ^ (row % kPiece)) * kPiece +
         column % kPiece;
}

#if defined(GRETA_HIP_NVIDIA)
#if defined(__CUDACC__)

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
__device__ __forceinline__ void copy_piece(half_bits* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Four 8x8 matrices: this lane gives the address of row lane % 8 of matrix lane / 8, and gets registers 2q
// and 2q + 1 of the fragment from matrix q. Of the address only the lane's part is worth a register: as tiles
// begin at multiples of 128 bytes, the column's is an exclusive or with a constant.
template <bool TRANSPOSED>
__device__ __forceinline__ FragmentB load_matrices(const half_bits* tile, int rows, int row, int column,
                                                   int lane_row, int lane_column) {
  constexpr uint32_t kBytes = sizeof(half_bits);
  const uint32_t of_lane =
      shared_address(tile) + static_cast<uint32_t>(tile_at(rows, lane_row, lane_column)) * kBytes;
  const uint32_t address = (of_lane ^ static_cast<uint32_t>(column % kPanel) * kBytes) +
                           static_cast<uint32_t>((column / kPanel * rows + row) * kPanel) * kBytes;
  uint32_t x[4];
  if constexpr (TRANSPOSED) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
  }
  FragmentB b;
  memcpy(&b, x, sizeof(b));
  return b;
}
__device__ __forceinline__ FragmentB fragment_by_rows(const half_bits* tile, int rows, int n0, int k0) {
  const int lane = lane_id();
  return load_matrices<false>(tile, rows, n0, k0, lane / 16 * 8 + lane % 8, lane / 8 % 2 * 8);
}
__device__ __forceinline__ FragmentB fragment_by_columns(const half_bits* tile, int rows, int k0, int n0) {
  const int lane = lane_id();
  return load_matrices<true>(tile, rows, k0, n0, lane / 8 % 2 * 8 + lane % 8, lane / 16 * 8);
}

#endif
#else

__device__ __forceinline__ void copy_piece(half_bits* to, const void* from, bool there) {
  const uint4 piece = there ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
  *reinterpret_cast<uint4*>(to) = piece;
}
__device__ __forceinline__ void copies_commit() {}
template <int N>
__device__ __forceinline__ void copies_wait() {}

__device__ __forceinline__ FragmentB fragment_by_rows(const half_bits* tile, int rows, int n0, int k0) {
  FragmentB b;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell cell = b_cell(lane_id(), r);
    b.x[r] = tile[tile_at(rows, n0 + cell.column, k0 + cell.row)];
  }
  return b;
}
__device__ __forceinline__ FragmentB fragment_by_columns(const half_bits* tile, int rows, int k0, int n0) {
  FragmentB b;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell cell = b_cell(lane_id(), r);
    b.x[r] = tile[tile_at(rows, k0 + cell.row, n0 + cell.column)];
  }
  return b;
}

#endif

}  // namespace greta::kernels::inline GRETA_MACHINE
