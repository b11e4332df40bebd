#include "cli/artefacts.hpp"

#include "reports/html.hpp"
#include "reports/markdown.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

constexpr const char* kArtefacts[] = {"trace.h5", "verdicts.json", "report.html", "report.md",
                                      "explanations.json"};

}  // namespace

std::span<const char* const> artefacts() { return kArtefacts; }

void write_reports(const reports::RunResult& run, const std::string& directory) {
  reports::write_verdicts_json(run, directory + "/verdicts.json");
  reports::write_html(run, directory + "/report.html");
  reports::write_markdown(run, directory + "/report.md");
}

}  // namespace greta::cli
