#include "cli/artefacts.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <future>
#include <vector>

#include "cli/looks.hpp"
#include "reports/analysis.hpp"
#include "reports/html.hpp"
#include "reports/junit.hpp"
#include "reports/markdown.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::cli {
namespace {

constexpr const char* kArtefacts[] = {"trace.h5",     "trace.jsonl", "verdicts.json",
                                      "report.html",  "report.md",   "report.es.md",
                                      "analysis.txt", "junit.xml",   "explanations.json"};

}  // namespace

std::span<const char* const> artefacts() { return kArtefacts; }

void write_reports(const reports::RunResult& run, const std::string& directory,
                   std::span<const reports::Language> languages) {
  // All at once: of fifty thousand findings each takes a third of a second.
  std::vector<std::future<void>> reports;
  const auto begin = [&](auto write) { reports.push_back(std::async(std::launch::async, std::move(write))); };
  begin([&] { reports::write_verdicts_json(run, directory + "/verdicts.json"); });
  begin([&] { reports::write_html(run, directory + "/report.html"); });
  for (const auto language : languages)
    begin(
        [&, language] { reports::write_markdown(run, directory + "/" + markdown_name(language), language); });
  begin([&] { reports::write_analysis(run, directory + "/analysis.txt", languages.front()); });
  begin([&] { reports::write_junit(run, directory + "/junit.xml"); });
  for (auto& report : reports) report.get();
}

std::string written(const std::string& directory) {
  std::string out;
  for (const char* name : artefacts())
    if (std::filesystem::exists(std::filesystem::path(directory) / name))
      out += fmt::format("wrote  {}/{}\n", directory, name);
  return out;
}

}  // namespace greta::cli
