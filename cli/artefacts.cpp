#include "cli/artefacts.hpp"

#include "reports/analysis.hpp"
#include "reports/junit.hpp"
#include "reports/markdown.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

constexpr const char* kArtefacts[] = {"trace.h5",     "trace.jsonl", "verdicts.json",    "report.md",
                                      "analysis.txt", "junit.xml",   "explanations.json"};

}  // namespace

std::span<const char* const> artefacts() { return kArtefacts; }

void write_reports(const reports::RunResult& run, const std::string& directory) {
  reports::write_verdicts_json(run, directory + "/verdicts.json");
  reports::write_markdown(run, directory + "/report.md");
  reports::write_analysis(run, directory + "/analysis.txt");
  reports::write_junit(run, directory + "/junit.xml");
}

}  // namespace greta::cli
