// How the distance from the reference grows over the layers and over the positions (chained mode), and
// whether a stage's errors lean to one side (local mode). Said, not judged: the verdicts are the findings'.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/run_result.hpp"

namespace greta::reports {

struct Drift {
  // Worst bound ratio of the chained findings with rows, over all prompts, arms and phases.
  struct Point {
    int64_t first = 0, last = 0;  // a layer, or a range of positions: 0, 1, 2-3, 4-7, …
    double ratio = 0;
    std::string at() const;  // "4-7"
  };
  std::vector<Point> by_layer;     // of ffn_residual
  std::optional<double> logits;    // behind the last layer
  std::vector<Point> by_position;  // of both
  // The bias of each stage over a run: its findings' z-scores added up over the square root of their number
  // (Stouffer), in the arm where that is largest. prefill_last, whose rows are prefill's, counts where
  // prefill was not judged; tensors without any error do not count. For independent errors around 0 this is
  // near N(0, 1); errors that a row shares (a norm's scale, a softmax's sum) widen it.
  struct Bias {
    std::string stage, arm;
    double z = 0;
    int64_t findings = 0;
  };
  std::vector<Bias> bias;  // the largest |z| first

  bool empty() const { return by_position.empty() && bias.empty(); }
};

Drift drift_of(const RunResult& run);
// "0 0.12, 1 0.15, …", folded to the worst of at most `most` ranges.
std::string points_text(const std::vector<Drift::Point>& points, size_t most);
std::string z_text(double z);  // "+3.2"

}  // namespace greta::reports
