#include "reference/blas_core.hpp"

#include <cblas.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace greta::reference {

VectorUnits vector_units() {
#if defined(__x86_64__)
  return {.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
          .avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
#else
  return {};
#endif
}

std::string better_core(std::string_view chosen, VectorUnits has) {
  constexpr std::array<std::string_view, 8> kOld = {"Prescott", "Core2",  "Penryn",     "Dunnington",
                                                    "Nehalem",  "Katmai", "Coppermine", "Northwood"};
  if (std::find(kOld.begin(), kOld.end(), chosen) == kOld.end()) return "";
  return has.avx512 ? "SkylakeX" : has.avx2 ? "Haswell" : "";
}

std::string better_core() {
  return std::getenv("OPENBLAS_CORETYPE") ? "" : better_core(openblas_get_corename(), vector_units());
}

}  // namespace greta::reference
