#include "kernels/launch.hpp"

#include <limits>

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

std::string sum_contract(const char* op, const char* operands, int64_t chain, const std::string& unit) {
  return std::string("op=") + op + " x=" + operands + " w=" + operands +
         " acc=f32 chain=" + std::to_string(chain) + " out=f32 unit=" + unit;
}

}  // namespace greta::kernels::inline GRETA_MACHINE
