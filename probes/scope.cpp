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
    const std::string which =
        of.size() <= 8 ? ranges(of)
                       : fmt::format("{} to {} ({} of these)", *of.begin(), *of.rbegin(), of.size());
    out += fmt::format("{}{} {} of {}", out.empty() ? "" : ", ", plural(what, of.size()), which, all);
  };
  add("row", extent.rows, right.value.rows());
  add("column", extent.columns, right.value.cols());
  return out.empty() ? out : fmt::format("{} in {}", out, subject.name);
}

// Fails in `in`, passes in `out`: only what tells them apart is worth a word.
std::string split(std::string_view what, const std::vector<std::string>& in,
                  const std::vector<std::string>& out) {
  std::vector<std::string> passes;
  for (const auto& name : out)
    if (std::find(in.begin(), in.end(), name) == in.end()) passes.push_back(name);
  const std::string fails = fmt::format("{}", fmt::join(in, ", "));
  if (!passes.empty())
    return fmt::format("{} only ({} {})", fails, fmt::join(passes, ", "),
                       passes.size() == 1 ? "passes" : "pass");
  return in.size() == 1 ? fmt::format("{} {}", what, fails) : fmt::format("all {} {}s", in.size(), what);
}

std::vector<std::string> names(const std::vector<const Finding*>& findings,
                               const std::function<std::string(const Finding&)>& name_of) {
  std::vector<std::string> out;
  for (const Finding* finding : findings) {
    const std::string name = name_of(*finding);
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

std::set<int64_t> layers_of(const std::vector<const Finding*>& findings) {
  std::set<int64_t> out;
  for (const Finding* finding : findings) out.insert(finding->layer);
  return out;
}

std::string layer_text(const std::set<int64_t>& fails, std::set<int64_t> passes) {
  for (const int64_t layer : fails) passes.erase(layer);
  if (*fails.begin() < 0) return {};
  if (passes.empty())
    return fails.size() == 1 ? fmt::format("layer {}", *fails.begin())
                             : fmt::format("all {} layers", fails.size());
  return fmt::format("{} {} only ({} {})", plural("layer", fails.size()), ranges(fails), ranges(passes),
                     passes.size() == 1 ? "passes" : "pass");
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

std::string scope_of(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& passing,
                     const Marks& marks) {
  if (failing.empty()) return {};
  std::vector<std::string> parts;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) parts.push_back(part);
  };
  const auto phase = [](const Finding& finding) { return finding.phase; };
  const auto prompt = [](const Finding& finding) { return finding.prompt; };
  if (!failing.front()->phase.empty()) {
    add(split("phase", names(failing, phase), names(passing, phase)));
    add(layer_text(layers_of(failing), layers_of(passing)));
    add(row_text(failing, passing));
    const auto in = names(failing, prompt), out = names(passing, prompt);
    if (in.size() > 1 || out.size() > 1 || in != out) add(split("prompt", in, out));
  }
  if (marks.head_count > 0 && !marks.heads.empty() &&
      static_cast<int64_t>(marks.heads.size()) < marks.head_count)
    add(fmt::format("{} {} of {} only", plural("head", marks.heads.size()), ranges(marks.heads),
                    marks.head_count));
  add(marks.example);
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace greta::probes
