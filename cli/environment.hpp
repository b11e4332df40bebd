// GRETA_* variables: overrides of settings, kept from the original reports (docs/greta-flags.md). One that is
// set and not known is an error, not silence. To add one: a row of the table in environment.cpp, its effect
// in suite_settings.cpp, and its line in docs/greta-flags.md.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace greta::cli {

inline constexpr std::string_view kForceRoute = "GRETA_QKV_FORCE_ROUTE", kForceGemm = "GRETA_QKV_FORCE_GEMM",
                                  kAttnLayer = "GRETA_TRACE_ATTN_LAYER", kAttnHead = "GRETA_TRACE_ATTN_HEAD",
                                  kKeysWindow = "GRETA_TRACE_ATTN_KEYS_WINDOW",
                                  kDimsSample = "GRETA_TRACE_ATTN_DIMS_SAMPLE",
                                  kPromptId = "GRETA_TRACE_PROMPT_ID";

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
std::string variable(std::string_view name);

// "GRETA_QKV_FORCE_ROUTE=valu " for those that are set and change runs.
std::string environment_prefix();

}  // namespace greta::cli
