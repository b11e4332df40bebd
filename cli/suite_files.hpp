// The suites that can be called by name.
#pragma once

#include <string>
#include <vector>

namespace greta::cli {

struct SuiteFile {
  std::string name;  // "acceptance"
  std::string path;
};
// Of the suites folder: beside the executable (./suites, ../share/greta/suites), else the source's own. By
// name.
std::vector<SuiteFile> installed_suites();

// A path (ends in .toml or has a '/') as it is; a name to its file. Error (usage) with the nearest name.
std::string find_suite(const std::string& suite);

}  // namespace greta::cli
