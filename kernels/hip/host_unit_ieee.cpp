// No card's unit: products exact, added in ascending k from c, each sum rounded to nearest even, as a chain
// of fused multiply-adds is.
#include <cmath>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_unit.hpp"
#include "kernels/hip/host_unit_parts.hpp"

namespace greta::kernels::host {
namespace {

template <Operand O>
void multiply(const uint16_t* a_bits, const uint16_t* b_bits, float* c) {
  alignas(64) float a[kUnitCells], b[kUnitCells];
  for (int i = 0; i < kUnitCells; ++i) a[i] = operand_to_f32<O>(a_bits[i]);
  for (int i = 0; i < kUnitCells; ++i) b[i] = operand_to_f32<O>(b_bits[i]);
  for (int row = 0; row < kUnitTile; ++row) {
    float sum[kUnitTile];
    for (int j = 0; j < kUnitTile; ++j) sum[j] = c[row * kUnitTile + j];
    for (int k = 0; k < kUnitTile; ++k) {
      for (int j = 0; j < kUnitTile; ++j) {
        const float x = a[row * kUnitTile + k], y = b[k * kUnitTile + j];
        // A product of two f16 is exact in f32 (22 bits), so adding it rounds once; one of two bf16 may lie
        // below f32's normal numbers or beyond its largest.
        sum[j] = O == Operand::f16 ? sum[j] + x * y : std::fma(x, y, sum[j]);
      }
    }
    for (int j = 0; j < kUnitTile; ++j) c[row * kUnitTile + j] = sum[j];
  }
}

}  // namespace

const UnitProducts kIeeeProducts{multiply<Operand::f16>, multiply<Operand::bf16>};

}  // namespace greta::kernels::host
