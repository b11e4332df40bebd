// What each vendor's matrix unit computes, as functions of bits for the CPU: c + a·b over 16x16x16, one file
// a unit (host_unit_NAME.cpp). The host machine multiplies fragments by the one it is configured to be; a
// program on a card checks the card against the same function (kernels/card/unit_check.hip). Nothing here
// depends on the machine that kernels are compiled for.
//
//   ieee     products exact, added one by one in ascending k from c, each sum rounded to nearest even
//   cdna2    subnormals flushed; sums of 4 products, added to c one after another, all to nearest even
//   cdna3    8 products summed in fixed point under the largest, joined to c with bits cut, to nearest even
//   hopper   16 products and c summed in fixed point under the largest, toward zero
#pragma once

#include <cstdint>
#include <string_view>

namespace greta::kernels::host {

enum class MatrixUnit { ieee, cdna2, cdna3, hopper };
inline constexpr const char* kMatrixUnits[] = {"ieee", "cdna2", "cdna3", "hopper"};
inline constexpr const char* name_of(MatrixUnit unit) { return kMatrixUnits[static_cast<int>(unit)]; }
// False: there is no such unit.
inline bool find_matrix_unit(std::string_view name, MatrixUnit& unit) {
  for (const MatrixUnit known :
       {MatrixUnit::ieee, MatrixUnit::cdna2, MatrixUnit::cdna3, MatrixUnit::hopper}) {
    if (name == name_of(known)) return unit = known, true;
  }
  return false;
}

// c[row][column] += Σ_k a[row][k] · b[k][column], 16 of each, stored by rows.
using TileProduct = void (*)(const uint16_t* a, const uint16_t* b, float* c);
struct UnitProducts {
  TileProduct f16, bf16;
};
UnitProducts unit_products(MatrixUnit unit);

extern const UnitProducts kIeeeProducts, kCdna2Products, kCdna3Products, kHopperProducts;

}  // namespace greta::kernels::host
