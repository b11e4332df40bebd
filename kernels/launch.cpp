#include "kernels/launch.hpp"

#include <limits>
#include <map>
#include <mutex>

#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

void require(bool ok, const char* op, const std::string& what) {
  if (!ok) throw LaunchError(std::string(op) + ": " + what);
}

void require_weight(const Weight& w, const char* op) {
  const Packing p = packing(w.type);
  require(w.data != nullptr, op, "the weight has no data");
  require(w.rows > 0 && w.columns > 0, op,
          "a weight of " + std::to_string(w.rows) + " x " + std::to_string(w.columns) + " has no values");
  require(w.columns % p.values == 0, op,
          std::to_string(w.columns) + " columns are not whole blocks of " + std::to_string(p.values) +
              " of " + p.name);
}

unsigned grid_for(int64_t count, int64_t per, const char* op) {
  const int64_t blocks = ceil_div(count, per);
  require(blocks <= std::numeric_limits<int32_t>::max(), op,
          std::to_string(blocks) + " blocks are more than one launch takes");
  return static_cast<unsigned>(blocks);
}

void check_launched(const std::string& kernel) {
  const hipError_t error = hipGetLastError();
  if (error != hipSuccess) throw LaunchError(kernel + ": " + hipGetErrorString(error));
}

const char* unit_of_compute_capability(int major, int minor) {
  return major == 9 && minor == 0 ? "hopper" : nullptr;
}

const char* unit_of_gfx(std::string_view arch) {
  arch = arch.substr(0, arch.find(':'));  // "gfx90a:sramecc+:xnack-"
  if (arch == "gfx90a") return "cdna2";
  return arch == "gfx942" ? "cdna3" : nullptr;
}

#if defined(GRETA_HIP_HOST)
std::string matrix_unit() { return host::name_of(host::configured_matrix_unit()); }
#else
std::string matrix_unit() {
  static std::mutex mutex;
  static std::map<int, const char*> known;  // asking the driver takes longer than a launch
  int device = 0;
  hipError_t error = hipGetDevice(&device);
  const std::lock_guard lock(mutex);
  const auto found = known.find(device);
  if (found != known.end()) return found->second;
  hipDeviceProp_t properties{};
  if (error == hipSuccess) error = hipGetDeviceProperties(&properties, device);
  if (error != hipSuccess) throw LaunchError(std::string("matrix unit: ") + hipGetErrorString(error));
#if defined(GRETA_HIP_NVIDIA)
  const char* const unit = unit_of_compute_capability(properties.major, properties.minor);
#else
  const char* const unit = unit_of_gfx(properties.gcnArchName);
#endif
  require(unit != nullptr, "matrix unit",
          std::string("no arithmetic model for the matrix unit of this card (") + properties.name +
              "): use unit=valu");
  return known[device] = unit;
}
#endif

std::string sum_contract(const char* op, const char* operands, int64_t chain, const std::string& unit) {
  return std::string("op=") + op + " x=" + operands + " w=" + operands +
         " acc=f32 chain=" + std::to_string(chain) + " out=f32 unit=" + unit;
}

}  // namespace greta::kernels::inline GRETA_MACHINE
