#include "cli/suite_files.hpp"

#include <algorithm>
#include <filesystem>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

std::vector<SuiteFile> suites_in(const fs::path& folder) {
  std::vector<SuiteFile> files;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem))
    if (entry->path().extension() == ".toml") files.push_back({entry->path().stem(), entry->path()});
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

}  // namespace

std::vector<SuiteFile> installed_suites() {
  std::error_code problem;
  const fs::path here = fs::read_symlink("/proc/self/exe", problem).parent_path();
  for (const fs::path& folder : {here / "suites", here / "../share/greta/suites", fs::path(GRETA_SUITES_DIR)})
    if (auto files = suites_in(folder.lexically_normal()); !files.empty()) return files;
  return {};
}

std::string find_suite(const std::string& suite) {
  if (suite.ends_with(".toml") || suite.find('/') != std::string::npos) return suite;
  std::vector<std::string> names;
  for (const auto& file : installed_suites()) {
    if (file.name == suite) return file.path;
    names.push_back(file.name);
  }
  throw Error(ExitCode::usage, unknown_name("suite", suite, names) + "; a file ends in .toml");
}

}  // namespace greta::cli
