#include "reports/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "datasets/message.hpp"

namespace greta::reports {
namespace {

using probes::Figure;
using probes::Finding;
using probes::Status;

// What tells rows apart, in the order of the columns; the arm last, so that arms are neighbours.
enum Column { kPrompt, kPhase, kLayer, kStage, kPart, kArm, kColumns };
using Key = std::array<std::string, kColumns>;
Message column_name(size_t column) {
  const std::array<Message, kColumns> names = {say("prompt"), say("phase"), say("layer"),
                                               say("stage"),  say("part"),    say("arm")};
  return names[column];
}

struct Entry {
  std::map<std::string, std::string> figures;  // by name, as shown
  Status status = Status::pass;
};

std::string shown(const Figure& figure) {
  if (!figure.text.empty()) return figure.text;
  return std::isnan(figure.value) ? "-" : fmt::format("{:.3g}", figure.value);
}

Key key_of(const Finding& finding, const std::string& of, bool with_stage) {
  return {finding.prompt,
          finding.phase,
          finding.layer < 0 ? "" : std::to_string(finding.layer),
          with_stage ? finding.stage : "",
          of,
          finding.arm};
}

// Names in the order in which they come.
class Ranks {
 public:
  size_t operator()(size_t column, const std::string& name) {
    return ranks_[column].emplace(name, ranks_[column].size()).first->second;
  }

 private:
  std::array<std::map<std::string, size_t>, kColumns> ranks_;
};

class Builder {
 public:
  explicit Builder(const FindingRefs& findings) {
    const bool with_stage = stages_collide(findings);
    for (const Finding* finding : findings)
      for (const Figure& figure : finding->figures) add(*finding, figure, with_stage);
  }

  FigureTable table(const Message& title, size_t most) {
    FigureTable out;
    const auto keys = chosen(most);
    out.left_out = static_cast<int64_t>(entries_.size() - keys.size());
    std::vector<size_t> columns;
    std::vector<Message> heads = {title};
    for (size_t column = 0; column < kColumns; ++column) {
      std::set<std::string> values;
      for (const auto& [key, entry] : entries_) values.insert(key[column]);
      if (values.size() > 1 || column == kPrompt)
        columns.push_back(column);
      else if (!values.begin()->empty())
        heads.push_back(joined({column_name(column), verbatim(*values.begin())}, " "));
    }
    out.title = joined(heads, ", ");
    for (const size_t column : columns) out.header.push_back(column_name(column));
    out.names = out.header.size();
    for (const auto& name : names_) out.header.push_back(verbatim(name));
    for (const Key& key : keys) out.rows.push_back(row(key, columns));
    return out;
  }

 private:
  // Two stages of one case with a figure of the same name that differ: then the stage is part of the row.
  static bool stages_collide(const FindingRefs& findings) {
    std::map<std::pair<Key, std::string>, std::string> seen;
    for (const Finding* finding : findings)
      for (const Figure& figure : finding->figures) {
        const std::string text = shown(figure);
        const auto [at, is_new] =
            seen.emplace(std::pair(key_of(*finding, figure.of, false), figure.name), text);
        if (!is_new && at->second != text) return true;
      }
    return false;
  }

  void add(const Finding& finding, const Figure& figure, bool with_stage) {
    const Key key = key_of(finding, figure.of, with_stage);
    for (size_t column = 0; column < kColumns; ++column) ranks_(column, key[column]);
    Entry& entry = entries_[key];
    entry.figures[figure.name] = shown(figure);
    entry.status = probes::worse(entry.status, status_of(finding));
    if (std::find(names_.begin(), names_.end(), figure.name) == names_.end()) names_.push_back(figure.name);
  }

  // A place with an arm that does not pass, all over; whole tensors first.
  std::vector<Key> chosen(size_t most) {
    std::vector<Key> keys;
    std::set<Key> troubled;
    for (const auto& [key, entry] : entries_) {
      keys.push_back(key);
      if (entry.status != Status::pass) troubled.insert(place(key));
    }
    const auto in_order = [&](const Key& a, const Key& b) { return ranks(a) < ranks(b); };
    std::sort(keys.begin(), keys.end(), in_order);
    if (most == 0 || keys.size() <= most) return keys;
    const auto telling = [&](const Key& key) {
      return std::pair(!key[kPart].empty(), !troubled.contains(place(key)));
    };
    std::stable_sort(keys.begin(), keys.end(),
                     [&](const Key& a, const Key& b) { return telling(a) < telling(b); });
    keys.resize(most);
    std::sort(keys.begin(), keys.end(), in_order);
    return keys;
  }

  static Key place(Key key) {
    key[kArm].clear();
    return key;
  }

  std::array<size_t, kColumns> ranks(const Key& key) {
    std::array<size_t, kColumns> out;
    for (size_t column = 0; column < kColumns; ++column) out[column] = ranks_(column, key[column]);
    return out;
  }

  FigureTable::Row row(const Key& key, const std::vector<size_t>& columns) const {
    FigureTable::Row out;
    const Entry& entry = entries_.at(key);
    out.status = entry.status;
    for (const size_t column : columns) out.cells.push_back(key[column]);
    for (const auto& name : names_) {
      const auto found = entry.figures.find(name);
      out.cells.push_back(found == entry.figures.end() ? "" : found->second);
    }
    return out;
  }

  std::map<Key, Entry> entries_;
  std::vector<std::string> names_;
  Ranks ranks_;
};

const Figure* figure(const Finding& finding, std::string_view name) {
  for (const auto& figure : finding.figures)
    if (figure.name == name && figure.of.empty()) return &figure;
  return nullptr;
}

// One finding a case and arm, with a figure a stage. Phases may agree and both be wrong (a cache that one of
// them filled): the wrong side is then that of the first stage where one is.
Finding folded(const FindingRefs& stages) {
  Finding out = *stages.front();
  out.figures.clear();
  out.status = Status::pass;
  const Finding *first = nullptr, *wrong = nullptr;
  for (const Finding* stage : stages) {
    Figure mae = *figure(*stage, "mae");
    mae.name = stage->stage;
    out.figures.push_back(mae);
    out.status = probes::worse(out.status, status_of(*stage));
    if (!first && status_of(*stage) != Status::pass) first = stage;
    if (!wrong && figure(*stage, "wrong_side")->text != "neither") wrong = stage;
  }
  out.figures.push_back({.name = "first_out", .text = first ? first->stage : "-"});
  out.figures.push_back({.name = "wrong_side",
                         .text = figure(first   ? *first
                                        : wrong ? *wrong
                                                : *stages.front(),
                                        "wrong_side")
                                     ->text});
  return out;
}

}  // namespace

std::vector<FigureTable> figure_tables(const RunResult& run, size_t most) {
  const auto with = select(all_findings(run), [](const Finding& f) { return !f.figures.empty(); });
  std::vector<FigureTable> out;
  for (const auto& probe : group_by(with, probe_name))
    out.push_back(Builder(probe.findings).table(verbatim(probe.name), most));
  return out;
}

std::vector<FigureTable> divergence_tables(const RunResult& run, size_t most) {
  const auto with =
      select(all_findings(run), [](const Finding& f) { return figure(f, "mae") && figure(f, "wrong_side"); });
  std::vector<FigureTable> out;
  for (const auto& probe : group_by(with, probe_name)) {
    const auto cases = group_by(probe.findings, [](const Finding& f) {
      return fmt::format("{}/{}/{}/{}", f.arm, f.prompt, f.phase, f.layer);
    });
    std::vector<Finding> rows;
    for (const auto& one : cases) rows.push_back(folded(one.findings));
    FindingRefs refs;
    for (const auto& row : rows) refs.push_back(&row);
    out.push_back(Builder(refs).table(say("{}: mean error of each stage", probe.name), most));
  }
  return out;
}

std::vector<FigureTable> measured_tables(const RunResult& run, size_t most) {
  auto tables = divergence_tables(run, most);
  for (auto& own : figure_tables(run, most)) {
    const bool parted =
        std::find(own.header.begin(), own.header.end(), verbatim("wrong_side")) != own.header.end();
    if (!parted) tables.push_back(std::move(own));
  }
  return tables;
}

}  // namespace greta::reports
