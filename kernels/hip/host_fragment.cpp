// Host machine: the matrix product of a wave. Every lane's fragments are gathered by the layout table,
// multiplied once as 16x16 tiles by the configured unit (host_unit.hpp), and put back by the table, so that
// a wrong table gives a wrong product.
#include <array>
#include <stdexcept>

#include "kernels/hip/fragment.hpp"

namespace greta::kernels::host {
namespace {

// Where register r of lane l lies in a 16x16 tile stored by rows.
using TileIndex = std::array<uint8_t, kTile * kTile>;  // at lane · elements + r

constexpr TileIndex tile_index(FragmentLayout layout, int wave) {
  TileIndex index{};
  const int elements = kTile * kTile / wave;
  for (int lane = 0; lane < wave; ++lane) {
    for (int r = 0; r < elements; ++r) {
      const FragmentCell cell = cell_of(layout, wave, lane, r);
      index[lane * elements + r] = static_cast<uint8_t>(cell.row * kTile + cell.column);
    }
  }
  return index;
}

template <int kWave>
void multiply(const uint64_t* deposits, int) {
  constexpr int kElements = kTile * kTile / kWave;
  static constexpr TileIndex kA = tile_index(layout_a(kWave), kWave), kB = tile_index(layout_b(kWave), kWave),
                             kAcc = tile_index(layout_acc(kWave), kWave);
  alignas(64) half_bits a[kTile * kTile], b[kTile * kTile];
  alignas(64) float c[kTile * kTile];
  for (int lane = 0; lane < kWave; ++lane) {
    const auto& operands = *reinterpret_cast<const MmaOperands*>(deposits[lane]);
    for (int r = 0; r < kElements; ++r) {
      a[kA[lane * kElements + r]] = operands.a[r];
      b[kB[lane * kElements + r]] = operands.b[r];
      c[kAcc[lane * kElements + r]] = operands.c[r];
    }
  }
  const UnitProducts products = unit_products(configured_matrix_unit());
  const bool f16 = reinterpret_cast<const MmaOperands*>(deposits[0])->operand == Operand::f16;
  (f16 ? products.f16 : products.bf16)(a, b, c);
  for (int lane = 0; lane < kWave; ++lane) {
    const auto& operands = *reinterpret_cast<const MmaOperands*>(deposits[lane]);
    for (int r = 0; r < kElements; ++r) operands.c[r] = c[kAcc[lane * kElements + r]];
  }
}

}  // namespace

void wave_mma(const MmaOperands& operands, SourceLocation where) {
  const auto lanes = place.block_dim.count();
  if (lanes % place.wave_size != 0 && wave_id() == static_cast<int>(lanes / place.wave_size)) {
    throw std::logic_error("mma at line " + std::to_string(where.line()) + " by a wave of " +
                           std::to_string(lanes % place.wave_size) + " lanes: it takes full waves");
  }
  wave_complete(&operands, place.wave_size == 64 ? &multiply<64> : &multiply<32>, where);
}

}  // namespace greta::kernels::host
