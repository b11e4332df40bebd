#include "cli/outputs.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "datasets/error.hpp"
#include "reports/github.hpp"
#include "reports/pack.hpp"
#include "reports/trace_jsonl.hpp"
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

void add_output_flags(Options& options) {
  options.flag("pack", "", "also DIR.tgz: everything but the big tensors")
      .flag("format", "terminal|github",
            "github: also annotations for GitHub Actions, and its job summary (default terminal)");
}

void check_output_flags(const Given& given) {
  given.one_of("format", {"terminal", "github"}, "terminal");
  if (given.has("jsonl") && given.has("no-trace"))
    fail_usage("--jsonl is made of the trace; leave out --no-trace");
}

void refuse_overwriting_pack(const Given& given, const std::string& directory) {
  const std::string path = reports::pack_path(directory);
  if (given.has("pack") && !given.has("force") && fs::exists(path))
    fail_usage("'{}' exists; choose another directory with --out, or overwrite it with --force", path);
}

void write_jsonl(const Given& given, const std::string& directory) {
  if (given.has("jsonl"))
    reports::write_trace_jsonl(TraceReader(directory + "/trace.h5"), directory + "/trace.jsonl");
}

void write_pack(const Given& given, const std::string& directory, Streams& streams) {
  if (!given.has("pack")) return;
  const std::string path = reports::pack_path(directory);
  reports::write_pack(directory, path);
  streams.out << fmt::format("wrote  {}\n", path);
}

void print_format(const Given& given, const reports::RunResult& run, reports::Language language,
                  Streams& streams) {
  if (given.one_of("format", {"terminal", "github"}, "terminal") != "github") return;
  streams.out << "\n"
              << reports::github_annotations(
                     run, {in_workspace(run.suite_path), suites::arm_lines(run.suite_path)}, language);
  if (const std::string path = variable("GITHUB_STEP_SUMMARY"); !path.empty())
    append_summary(path, reports::github_summary(run, language));
}

size_t output_words(std::string_view word) {
  if (word == "--out" || word == "-o" || word == "--format") return 2;
  const bool one = word.starts_with("--out=") || word.starts_with("--format=") ||
                   (word.starts_with("-o") && !word.starts_with("--")) || word == "--force" || word == "-f" ||
                   word == "--pack" || word == "--jsonl";
  return one ? 1 : 0;
}

}  // namespace greta::cli
