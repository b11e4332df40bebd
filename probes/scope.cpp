#include "probes/scope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace greta::probes {
namespace {

// "0 to 3, 7"
std::string ranges(const std::set<int64_t>& numbers) {
  std::string out;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int64_t first = *at;
    int64_t last = first;
    while (++at != numbers.end() && *at == last + 1) last = *at;
    if (!out.empty()) out += ", ";
    out += first == last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last);
  }
  return out;
}

std::string plural(std::string_view what, size_t count) {
  return std::string(what) + (count == 1 ? "" : "s");
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

std::string example_of(const Subject& subject, const reference::Bounded& right, const Extent& extent) {
  std::string out;
  const auto add = [&](std::string_view what, const std::set<int64_t>& of, Eigen::Index all) {
    if (static_cast<Eigen::Index>(of.size()) == all || of.empty()) return;
    std::string which = ranges(of);
    constexpr size_t kLongest = 48;
    if (which.size() > kLongest)
      which = fmt::format("{} to {} ({} of these)", *of.begin(), *of.rbegin(), of.size());
    out += fmt::format("{}{} {} of {}", out.empty() ? "" : ", ", plural(what, of.size()), which, all);
  };
  add("row", extent.rows, right.value.rows());
  add("column", extent.columns, right.value.cols());
  return out.empty() ? out : fmt::format("{} in {}", out, subject.name);
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

std::string rest_of(const Names& other, const Names& passes) {
  std::string out;
  if (!passes.empty()) out = listed(passes) + (passes.size() == 1 ? " passes" : " pass");
  if (!other.empty())
    out += fmt::format("{}{} {} of something else", out.empty() ? "" : "; ", listed(other),
                       other.size() == 1 ? "fails" : "fail");
  return out;
}

// Prefill calls of more rows than some number fail and those of fewer pass: a tile or a route may begin
// there.
std::string row_text(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& passing) {
  const auto rows = [](const Finding& finding) {
    return finding.phase == "prefill" && !finding.shape.empty() ? finding.shape.front() : int64_t{-1};
  };
  int64_t least = std::numeric_limits<int64_t>::max(), most = -1;
  for (const Finding* finding : failing)
    if (rows(*finding) >= 0) least = std::min(least, rows(*finding));
  for (const Finding* finding : passing) most = std::max(most, rows(*finding));
  if (least == std::numeric_limits<int64_t>::max() || most < 0 || most >= least) return {};
  return fmt::format("calls of {} rows and more ({} and fewer pass)", least, most);
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

std::string scope_of(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& elsewhere,
                     const std::vector<const Finding*>& passing, const Marks& marks) {
  if (failing.empty()) return {};
  Names parts;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) parts.push_back(part);
  };
  // "prefill only (decode0 passes)", "all 3 phases"
  const auto dimension = [&](std::string_view what, std::string_view before, const NameOf& name_of) {
    const Names in = names(failing, name_of);
    Names not_here = in;
    const Names other = names(elsewhere, name_of, in);
    not_here.insert(not_here.end(), other.begin(), other.end());
    const std::string rest = rest_of(other, names(passing, name_of, not_here));
    const std::string here = fmt::format("{}{}", before, listed(in));
    if (!rest.empty())
      add(fmt::format("{} only ({})", here, rest));
    else
      add(in.size() == 1 ? here : fmt::format("all {} {}s", in.size(), what));
  };
  if (!failing.front()->phase.empty()) {
    dimension("phase", "", [](const Finding& f) { return f.phase; });
    if (failing.front()->layer >= 0)
      dimension("layer", "layer ", [](const Finding& f) { return std::to_string(f.layer); });
    add(row_text(failing, passing));
    dimension("prompt", "prompt ", [](const Finding& f) { return f.prompt; });
  }
  if (marks.head_count > 0 && !marks.heads.empty() &&
      static_cast<int64_t>(marks.heads.size()) < marks.head_count)
    add(fmt::format("{} {} of {} only", plural("head", marks.heads.size()), ranges(marks.heads),
                    marks.head_count));
  add(marks.example);
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace greta::probes
