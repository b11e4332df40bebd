#include "reports/drift.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using probes::Finding;

// NaN is the worst of all ratios.
double worse_ratio(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

void add(std::map<int, double>& worst, int key, double ratio) {
  const auto [found, is_new] = worst.emplace(key, ratio);
  if (!is_new) found->second = worse_ratio(found->second, ratio);
}

// 0, 1, 2-3, 4-7, …: bucket b holds the positions 2^(b-1) to 2^b - 1.
int bucket_of(int64_t position) { return static_cast<int>(std::bit_width(static_cast<uint64_t>(position))); }
struct Sum {
  double z = 0;
  int64_t findings = 0;
  double stouffer() const { return z / std::sqrt(static_cast<double>(findings)); }
};

std::vector<Drift::Bias> bias_of(const RunResult& run) {
  const bool whole = std::find(run.phases.begin(), run.phases.end(), "prefill") != run.phases.end();
  std::map<std::string, std::map<std::string, Sum>> sums;  // stage -> arm
  for (const auto& finding : run.findings) {
    if (finding.mode != "local" || finding.metrics.mae == 0 || is_weight(finding)) continue;
    if (whole && finding.phase == "prefill_last") continue;
    auto& sum = sums[finding.stage][finding.arm];
    sum.z += finding.metrics.bias_z;
    ++sum.findings;
  }
  const auto size = [](double z) { return std::isnan(z) ? INFINITY : std::fabs(z); };
  std::vector<Drift::Bias> out;
  for (const auto& [stage, arms] : sums) {
    const auto& [arm, sum] = *std::max_element(arms.begin(), arms.end(), [&](const auto& a, const auto& b) {
      return size(a.second.stouffer()) < size(b.second.stouffer());
    });
    out.push_back({stage, arm, sum.stouffer(), sum.findings});
  }
  std::stable_sort(out.begin(), out.end(),
                   [&](const auto& a, const auto& b) { return size(a.z) > size(b.z); });
  return out;
}

}  // namespace

std::string Drift::Point::at() const {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

Drift drift_of(const RunResult& run) {
  std::map<int, double> layers, positions;
  for (const auto& finding : run.findings) {
    if (finding.mode != "chained" || finding.row_ratio.empty() || finding.first_position < 0) continue;
    add(layers, finding.layer, finding.metrics.bound_ratio);
    for (size_t row = 0; row < finding.row_ratio.size(); ++row)
      add(positions, bucket_of(finding.first_position + static_cast<int64_t>(row)), finding.row_ratio[row]);
  }
  Drift out;
  for (const auto& [layer, ratio] : layers)
    if (layer < 0)
      out.logits = ratio;
    else
      out.by_layer.push_back({layer, layer, ratio});
  for (const auto& [bucket, ratio] : positions)
    out.by_position.push_back({(int64_t{1} << bucket) / 2, (int64_t{1} << bucket) - 1, ratio});
  out.bias = bias_of(run);
  return out;
}

std::string points_text(const std::vector<Drift::Point>& points, size_t most) {
  std::string out;
  const size_t span = (points.size() + most - 1) / std::max<size_t>(most, 1);
  for (size_t begin = 0; begin < points.size(); begin += span) {
    const size_t end = std::min(begin + span, points.size());
    double worst = points[begin].ratio;
    for (size_t i = begin; i < end; ++i) worst = worse_ratio(worst, points[i].ratio);
    const Drift::Point range{points[begin].first, points[end - 1].last, worst};
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", range.at(), ratio_text(worst));
  }
  return out;
}

std::string z_text(double z) { return std::isfinite(z) ? fmt::format("{:+.1f}", z) : fmt::format("{:+}", z); }

}  // namespace greta::reports
