#include "probes/finding.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cmath>

namespace greta::probes {

std::string_view name_of(Status status) {
  switch (status) {
    case Status::pass:
      return "pass";
    case Status::fail:
      return "fail";
    case Status::invalid:
      return "invalid";
  }
  return "?";
}

Status worse(Status a, Status b) { return std::max(a, b); }  // in the order of the enumerators

std::string Finding::key() const {
  std::string key = fmt::format("{}/{}/{}", prompt, arm, phase);
  if (layer >= 0) key += fmt::format("/layer_{:02}", layer);
  if (!stage.empty()) key.append("/").append(stage);
  key.append(" ").append(probe);
  if (!mode.empty()) key += fmt::format("({})", mode);
  return key;
}

std::vector<int64_t> Finding::worst_index() const {
  if (metrics.worst < 0) return {};
  std::vector<int64_t> index(shape.size());
  int64_t rest = metrics.worst;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] <= 0) return {};
    index[axis] = rest % shape[axis];
    rest /= shape[axis];
  }
  if (rest != 0) return {};  // the shape is not that of the compared tensor
  return index;
}

int ratio_bin(double ratio) {
  if (ratio == 0) return 0;
  if (!(ratio < 8)) return kRatioBins - 1;
  return std::clamp(std::ilogb(ratio) + kRatioBins - 4, 1, kRatioBins - 2);
}

std::string op_of(const Finding& finding) {
  const auto begin = finding.contract.find("op=");
  if (begin != 0 && (begin == std::string::npos || finding.contract[begin - 1] != ' ')) return {};
  const auto end = finding.contract.find(' ', begin);
  return finding.contract.substr(begin + 3, end == std::string::npos ? end : end - begin - 3);
}

VerdictRow to_row(const Finding& finding) {
  const Metrics& m = finding.metrics;
  const auto index = finding.worst_index();
  return {.prompt = finding.prompt,
          .arm = finding.arm,
          .phase = finding.phase,
          .probe = finding.probe,
          .mode = finding.mode,
          .stage = finding.stage,
          .status = std::string(name_of(finding.status)),
          .worst_index = index.empty() ? "" : to_string(index),
          .kernel = finding.kernel,
          .contract = finding.contract,
          .layer = finding.layer,
          .count = m.count,
          .out_of_bound = m.out_of_bound,
          .nan_count = m.nan_count,
          .inf_count = m.inf_count,
          .bound_ratio = m.bound_ratio,
          .certain_ratio = m.certain_ratio,
          .max_abs = m.max_abs,
          .mae = m.mae,
          .rmse = m.rmse,
          .nmse = m.nmse,
          .cosine = m.cosine,
          .bias_z = m.bias_z,
          .actual = m.worst_actual,
          .expected = m.worst_expected};
}

bool matches(std::string_view pattern, const std::string& key) {
  if (pattern.find_first_of("*?") == std::string_view::npos) return key.find(pattern) != std::string::npos;
  return fnmatch(std::string(pattern).c_str(), key.c_str(), FNM_NOESCAPE) == 0;
}

}  // namespace greta::probes
