// libFuzzer: whatever the bytes are, parse_suite returns a suite that holds together, or throws greta::Error
// (usage).
#include <cstdint>
#include <cstdlib>

#include "datasets/error.hpp"
#include "suites/suite.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto suite = greta::suites::parse_suite({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
    if (suite.arms.empty() || suite.prompts.empty() || suite.phases.empty() || suite.probes.empty())
      std::abort();
  } catch (const greta::Error& error) {
    if (error.code() != greta::ExitCode::usage) std::abort();
  }
  return 0;
}
