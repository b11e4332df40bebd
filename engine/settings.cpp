// What a caller asks of an engine, on whatever machine it runs.
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "engine/engine.hpp"
#include "kernels/hip/host_unit.hpp"

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

std::string parse_matrix_unit(std::string_view name) {
  kernels::host::MatrixUnit unit{};
  if (kernels::host::find_matrix_unit(name, unit)) return std::string(name);
  const std::vector<std::string> names(std::begin(kernels::host::kMatrixUnits),
                                       std::end(kernels::host::kMatrixUnits));
  throw Error(ExitCode::usage, unknown_name("matrix unit", name, names));
}

bool Taps::wants(Stage stage, int layer) const {
  if (!stages.test(static_cast<size_t>(stage))) return false;
  if (layers.empty() || !info(stage).per_layer) return true;
  for (const int wanted : layers)
    if (wanted == layer) return true;
  return false;
}

}  // namespace greta::engine
