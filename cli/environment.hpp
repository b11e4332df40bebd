// GRETA_* variables: overrides of settings, kept from the original reports. One that is set and not known is
// an error, not silence.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace greta::cli {

struct EnvironmentVariable {
  std::string_view name;
  std::string_view values;
  std::string_view doc;
  bool of_runs;  // changes what a run does, so it belongs to the command line that is recorded
};
std::span<const EnvironmentVariable> known_environment();

// Error (usage): a GRETA_* variable that is not known, with the nearest right one; a value that it does not
// take.
void check_environment();

// Empty when the variable is not set.
std::string forced_unit();   // mfma | valu | auto
std::string forced_shape();  // gemm | gemv | auto

// "GRETA_QKV_FORCE_ROUTE=valu " for those that are set and change runs.
std::string environment_prefix();

}  // namespace greta::cli
