// The one error type. Library code throws it and neither prints nor exits; cli/main turns it into one line and an exit code.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace greta {

// What a shell or a CI job sees (DESIGN: commands and exit codes).
enum class ExitCode : int {
  pass = 0,       // every verdict PASS
  fail = 1,       // at least one FAIL
  usage = 2,      // the command or the suite is wrong
  bad_input = 3,  // an input is unreadable or corrupt
  invalid = 4,    // a control failed or evidence is missing: no verdict
  internal = 70,
};

// `what()` is one sentence for a person: what, where, what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::usage, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void fail_input(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::bad_input, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void fail_invalid(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::invalid, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void fail_internal(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::internal, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace greta
