// What a caller asks of an engine, on whatever machine it runs.
#include <algorithm>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "engine/engine.hpp"
#include "engine/on_machine.hpp"
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

std::vector<std::string> parse_devices(const std::string& list) {
  std::vector<std::string> out;
  if (list == "hip:all") {
    const Cards found = cards();
    if (!found.trouble.empty()) fail_input("device hip:all: {}", found.trouble);
    for (size_t i = 0; i < found.names.size(); ++i) out.push_back("hip:" + std::to_string(i));
    return out;
  }
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    out.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  for (const auto& device : out) {
    if (std::count(out.begin(), out.end(), device) > 1)
      fail_usage("device {} is twice in '{}'; a device runs one case at a time", device, list);
    if (device == "host" && out.size() > 1)
      fail_usage("'{}': the host machine runs alone; name cards only, or host", list);
  }
  return out;
}

bool Taps::wants(Stage stage, int layer) const {
  if (!stages.test(static_cast<size_t>(stage))) return false;
  if (layers.empty() || !info(stage).per_layer) return true;
  for (const int wanted : layers)
    if (wanted == layer) return true;
  return false;
}

}  // namespace greta::engine
