#include "kernels/hip/host_unit.hpp"

namespace greta::kernels::host {

UnitProducts unit_products(MatrixUnit unit) {
  switch (unit) {
    case MatrixUnit::cdna2:
      return kCdna2Products;
    case MatrixUnit::cdna3:
      return kCdna3Products;
    case MatrixUnit::hopper:
      return kHopperProducts;
    case MatrixUnit::ieee:
      break;
  }
  return kIeeeProducts;
}

}  // namespace greta::kernels::host
