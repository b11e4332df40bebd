#include "probes/scope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace greta::probes {
namespace {

// "0 to 3, 7"
Message ranges(const std::set<int64_t>& numbers) {
  std::vector<Message> out;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int64_t first = *at;
    int64_t last = first;
    while (++at != numbers.end() && *at == last + 1) last = *at;
    out.push_back(first == last ? say("{}", first) : say("{} to {}", first, last));
  }
  return joined(out, ", ");
}

// The rows and columns with an element out of bound.
struct Extent {
  std::set<int64_t> rows, columns;
};

Extent extent_of(const Subject& subject, const reference::Bounded& right) {
  Extent out;
  const auto columns = right.value.cols();
  for (Eigen::Index i = 0; i < right.value.size(); ++i) {
    const float actual = subject.output[static_cast<size_t>(i)];
    const double wanted = right.value.data()[i];
    const bool agree = std::isnan(actual) && std::isnan(wanted);
    const bool same_infinity = std::isinf(actual) && actual == wanted;
    if (agree || same_infinity || std::fabs(actual - wanted) <= right.expected.data()[i]) continue;
    out.rows.insert(i / columns);
    out.columns.insert(i % columns);
  }
  return out;
}

Message example_of(const Subject& subject, const reference::Bounded& right, const Extent& extent) {
  const auto some = [](const std::set<int64_t>& of, Eigen::Index all) {
    return !of.empty() && static_cast<Eigen::Index>(of.size()) < all;
  };
  const auto which = [](const std::set<int64_t>& of) {
    constexpr size_t kLongest = 48;
    const Message all = ranges(of);
    return all.text().size() <= kLongest
               ? all
               : say("{} to {} ({} of these)", *of.begin(), *of.rbegin(), of.size());
  };
  std::vector<Message> parts;
  const auto rows = right.value.rows(), columns = right.value.cols();
  if (some(extent.rows, rows))
    parts.push_back(extent.rows.size() == 1 ? say("row {} of {}", which(extent.rows), rows)
                                            : say("rows {} of {}", which(extent.rows), rows));
  if (some(extent.columns, columns))
    parts.push_back(extent.columns.size() == 1 ? say("column {} of {}", which(extent.columns), columns)
                                               : say("columns {} of {}", which(extent.columns), columns));
  return parts.empty() ? Message{} : say("{} in {}", joined(parts, ", "), subject.name);
}

using Names = std::vector<std::string>;
using NameOf = std::function<std::string(const Finding&)>;

bool holds(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// In the order in which they come, without those of `but`.
Names names(const std::vector<const Finding*>& findings, const NameOf& name_of, const Names& but = {}) {
  Names out;
  for (const Finding* finding : findings)
    if (const std::string name = name_of(*finding); !holds(out, name) && !holds(but, name))
      out.push_back(name);
  return out;
}

std::string listed(const Names& names) {
  constexpr size_t kMost = 8;
  if (names.size() <= kMost) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{}, … ({})", fmt::join(names.begin(), names.begin() + kMost, ", "), names.size());
}

Message rest_of(const Names& other, const Names& passes) {
  std::vector<Message> parts;
  if (!passes.empty())
    parts.push_back(passes.size() == 1 ? say("{} passes", listed(passes)) : say("{} pass", listed(passes)));
  if (!other.empty())
    parts.push_back(other.size() == 1 ? say("{} fails of something else", listed(other))
                                      : say("{} fail of something else", listed(other)));
  return joined(parts, "; ");
}

// One of the dimensions along which a stage may fail here and pass there: how its members are said.
struct Dimension {
  NameOf name_of;
  Message (*these)(const Names&);
  Message (*all)(int64_t count);
};

const Dimension kPhases = {[](const Finding& f) { return f.phase; },
                           [](const Names& names) { return verbatim(listed(names)); },
                           [](int64_t count) { return say("all {} phases", count); }};
const Dimension kLayers = {[](const Finding& f) { return std::to_string(f.layer); },
                           [](const Names& names) {
                             return names.size() == 1 ? say("layer {}", listed(names))
                                                      : say("layers {}", listed(names));
                           },
                           [](int64_t count) { return say("all {} layers", count); }};
const Dimension kPrompts = {[](const Finding& f) { return f.prompt; },
                            [](const Names& names) {
                              return names.size() == 1 ? say("prompt {}", listed(names))
                                                       : say("prompts {}", listed(names));
                            },
                            [](int64_t count) { return say("all {} prompts", count); }};

// Prefill calls of more rows than some number fail and those of fewer pass: a tile or a route may begin
// there.
Message row_text(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& passing) {
  const auto rows = [](const Finding& finding) {
    return finding.phase == "prefill" && !finding.shape.empty() ? finding.shape.front() : int64_t{-1};
  };
  int64_t least = std::numeric_limits<int64_t>::max(), most = -1;
  for (const Finding* finding : failing)
    if (rows(*finding) >= 0) least = std::min(least, rows(*finding));
  for (const Finding* finding : passing) most = std::max(most, rows(*finding));
  if (least == std::numeric_limits<int64_t>::max() || most < 0 || most >= least) return {};
  return say("calls of {} rows and more ({} and fewer pass)", least, most);
}

}  // namespace

void mark(Marks& marks, const Subject& subject, const reference::Bounded& right, int64_t heads) {
  const Extent extent = extent_of(subject, right);
  const bool first = !marks.any;
  marks.any = true;
  if (first) marks.example = example_of(subject, right, extent);
  if (heads == 0 && subject.shape.size() == 3) heads = subject.shape[1];
  if (heads <= 0) return;
  marks.head_count = heads;
  const int64_t columns = std::max<int64_t>(1, right.value.cols() / heads);
  for (const int64_t column : extent.columns) marks.heads.insert(column / columns);
}

Message scope_of(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& elsewhere,
                 const std::vector<const Finding*>& passing, const Marks& marks) {
  if (failing.empty()) return {};
  std::vector<Message> parts;
  const auto add = [&](Message part) {
    if (!part.empty()) parts.push_back(std::move(part));
  };
  // "prefill only (decode0 passes)", "all 3 phases"
  const auto along = [&](const Dimension& dimension) {
    const Names in = names(failing, dimension.name_of);
    Names not_here = in;
    const Names other = names(elsewhere, dimension.name_of, in);
    not_here.insert(not_here.end(), other.begin(), other.end());
    const Message rest = rest_of(other, names(passing, dimension.name_of, not_here));
    if (!rest.empty())
      add(say("{} only ({})", dimension.these(in), rest));
    else
      add(in.size() == 1 ? dimension.these(in) : dimension.all(static_cast<int64_t>(in.size())));
  };
  if (!failing.front()->phase.empty()) {
    along(kPhases);
    if (failing.front()->layer >= 0) along(kLayers);
    add(row_text(failing, passing));
    along(kPrompts);
  }
  if (const auto count = static_cast<int64_t>(marks.heads.size()); count > 0 && count < marks.head_count)
    add(count == 1 ? say("head {} of {} only", ranges(marks.heads), marks.head_count)
                   : say("heads {} of {} only", ranges(marks.heads), marks.head_count));
  add(marks.example);
  return joined(parts, "; ");
}

}  // namespace greta::probes
