#include <cblas.h>
#include <fmt/format.h>

#include <string>

#include "reference/reference.hpp"

namespace greta::reference {

std::string instruction_sets() {
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64": the first two words; the
  // core is asked for.
  const std::string config = openblas_get_config();
  const auto first = config.find(' '), second = config.find(' ', first + 1);
  return fmt::format("Eigen {}.{}.{}: {}; {} {}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION,
                     EIGEN_MINOR_VERSION, Eigen::SimdInstructionSetsInUse(), config.substr(0, second),
                     openblas_get_corename());
}

}  // namespace greta::reference
