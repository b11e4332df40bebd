// A suite as a run takes it: the file, then what the flags and the GRETA_* variables put in its place.
#pragma once

#include <iosfwd>
#include <string>

#include "cli/options.hpp"
#include "suites/suite.hpp"

namespace greta::cli {

// `name`: of `greta list suites`, or a .toml file. Notes on arms that are left out go to `err`. Errors
// (usage): those of load_suite; a fault that does not exist; a variable that this suite has no place for, by
// name.
suites::Suite suite_with_settings(const std::string& name, const Given& given, std::ostream& err);

}  // namespace greta::cli
