#include "cli/github.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "datasets/error.hpp"
#include "reports/github.hpp"
#include "suites/suite_lines.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// GitHub places annotations by the path from the repository's root.
std::string in_workspace(const std::string& path) {
  const std::string workspace = variable("GITHUB_WORKSPACE");
  std::error_code problem;
  if (workspace.empty() || path.empty()) return path;
  const fs::path relative = fs::proximate(path, workspace, problem);
  return problem || relative.empty() || *relative.begin() == ".." ? path : relative.string();
}

void append_summary(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  if (!(file << text).flush()) fail_invalid("cannot append the summary to GITHUB_STEP_SUMMARY, '{}'", path);
}

}  // namespace

void add_format_flag(Options& options) {
  options.flag("format", "terminal|github",
               "github: also annotations for GitHub Actions, and its job summary (default terminal)");
}

void check_format(const Given& given) { given.one_of("format", {"terminal", "github"}, "terminal"); }

void print_format(const Given& given, const reports::RunResult& run, reports::Language language,
                  Streams& streams) {
  if (given.one_of("format", {"terminal", "github"}, "terminal") != "github") return;
  streams.out << "\n"
              << reports::github_annotations(
                     run, {in_workspace(run.suite_path), suites::arm_lines(run.suite_path)});
  if (const std::string path = variable("GITHUB_STEP_SUMMARY"); !path.empty())
    append_summary(path, reports::github_summary(run, language));
}

}  // namespace greta::cli
