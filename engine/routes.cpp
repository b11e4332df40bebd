#include "engine/routes.hpp"

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::engine {

Unit parse_unit(std::string_view name) {
  if (name == "auto") return Unit::automatic;
  if (name == "valu") return Unit::valu;
  if (name == "mfma") return Unit::mfma;
  const std::vector<std::string> names = {"auto", "valu", "mfma"};
  throw Error(ExitCode::usage, unknown_name("unit", name, names));
}

Shape parse_shape(std::string_view name) {
  if (name == "auto") return Shape::automatic;
  if (name == "gemm") return Shape::gemm;
  if (name == "gemv") return Shape::gemv;
  const std::vector<std::string> names = {"auto", "gemm", "gemv"};
  throw Error(ExitCode::usage, unknown_name("shape", name, names));
}

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

}  // namespace greta::engine
