#include "engine/routes.hpp"

namespace greta::engine::inline GRETA_MACHINE {

kernels::Route choose_route(Unit unit, Shape shape, int64_t rows) {
  const bool tiles = rows >= kRowsForTiles;
  kernels::Route route;
  route.unit = unit == Unit::valu   ? kernels::Unit::valu
               : unit == Unit::mfma ? kernels::Unit::mfma
               : tiles              ? kernels::Unit::mfma
                                    : kernels::Unit::valu;
  route.shape = shape == Shape::gemm   ? kernels::Shape::gemm
                : shape == Shape::gemv ? kernels::Shape::gemv
                : tiles                ? kernels::Shape::gemm
                                       : kernels::Shape::gemv;
  return route;
}

}  // namespace greta::engine::inline GRETA_MACHINE
