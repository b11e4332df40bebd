// Inside reports/: Markdown's own notation, and the sections of report.md (markdown.hpp) that are files of
// their own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reports/language.hpp"
#include "reports/run_result.hpp"
#include "reports/summary.hpp"

namespace greta::reports::markdown {

std::string escaped(std::string_view text);  // on one line, nothing in it read as Markdown
std::string code(std::string_view text);     // `text`; empty stays empty
std::string bullets(Language language, const std::vector<Message>& items);
std::string heading(int level, const std::string& text);
std::string row_of(const std::vector<std::string>& cells);
// A table's head; the first `words` columns hold words, the others numbers.
std::string head_of(const std::vector<std::string>& names, size_t words);
std::string grid_text(const Grid& grid, const std::string& corner);
// "  - name: value" beneath a bullet; nothing without a value.
std::string detail(const std::string& name, const std::string& value);

std::string method_text(const RunResult& run, Language language);  // probes, identity, arms, controls
std::string stage_tables(const Group& probe, Language language);   // what passes shares one
std::string weights_text(const RunResult& run, Language language);
std::string drift_text(const RunResult& run, Language language);
std::string figures_text(const RunResult& run, Language language);  // a table for each probe that has any
std::string explanations_text(const RunResult& run, Language language);
std::string failures_text(const RunResult& run, Language language);  // and the notes of what passes

}  // namespace greta::reports::markdown
