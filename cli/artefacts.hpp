// What a run leaves in its directory, and which of it can be made again from verdicts.json.
#pragma once

#include <span>
#include <string>

#include "reports/language.hpp"
#include "reports/run_result.hpp"

namespace greta::cli {

// File names, in the order in which they are listed for a person.
std::span<const char* const> artefacts();
// Writes every report of `run` into `directory`: whatever is made from findings alone, in these languages
// where a report is in one. Error (invalid) when the disk refuses.
void write_reports(const reports::RunResult& run, const std::string& directory,
                   std::span<const reports::Language> languages);
// "wrote  runs/x/report.md", a line for each artefact that is in `directory`.
std::string written(const std::string& directory);

}  // namespace greta::cli
