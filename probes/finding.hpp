// A finding: what one probe says of one comparison. Everything in the reports comes from a list of these.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/message.hpp"
#include "datasets/trace.hpp"
#include "probes/compare.hpp"

namespace greta::probes {

enum class Status {
  pass,
  fail,
  invalid
};  // invalid: a control failed or evidence is missing, so there is no verdict
std::string_view name_of(Status);
// fail outweighs pass, invalid outweighs both (no conclusion is drawn from a run whose controls failed).
Status worse(Status, Status);

// What a probe reports beside its verdict: a cell of the reports' tables. A row is a finding's, or one of its
// parts'.
struct Figure {
  std::string name;  // the column: "mae_row", "v_layout_best"
  double value = std::numeric_limits<double>::quiet_NaN();
  std::string text;  // a word in place of the value: "neither"
  std::string of;    // "head 0", "dims 0-255"; empty: the whole tensor
};

// Elements by |error| / bound. Bin 0: no error at all; bin b of 1 to 16: from 2^(b - 14) to below 2^(b - 13),
// the first of them all that is smaller, too; bin 17: 8 and above, infinity and NaN. So bins 14 and up are
// out of bound (1 exactly is in).
inline constexpr int kRatioBins = 18;
using RatioHistogram = std::vector<int64_t>;
int ratio_bin(double ratio);

struct Finding {
  std::string probe;  // "stage_parity"
  std::string mode;   // "local", "chained", or empty
  std::string prompt, arm, phase;
  int layer = -1;
  std::string stage;  // a stage's name, "weight/<gguf name>", or empty when it is about the whole case
  Status status = Status::invalid;
  Metrics metrics;             // count = 0 when there was nothing to compare element by element
  std::vector<int64_t> shape;  // of the tensor, so that `metrics.worst` can be unravelled
  std::string kernel, contract;
  std::string reason;  // the bound's reason: contract, n, norm
  Message message;     // one sentence for a person; required unless pass
  // Chained findings of the residual stream (ffn_residual) and of the logits: the largest bound ratio of each
  // row, and the position of the first row. Empty elsewhere.
  std::vector<float> row_ratio;
  int first_position = 0;
  // Local findings of stage_parity: the largest bound ratio of each head (stages with an axis H or Hkv), and
  // the elements by their ratio to each bound. Empty elsewhere.
  std::vector<float> head_ratio;
  RatioHistogram by_expected, by_certain;
  std::vector<Figure> figures;
  std::string key() const;  // "p0_short/auto/decode0/layer_03/softmax stage_parity(local)": the report's key
                            // and --only's filter
  std::vector<int64_t> worst_index() const;
};

// The operation that the engine declared for the tensor; empty where it is not known.
std::string op_of(const Finding&);

VerdictRow to_row(const Finding&);

// A part of a finding's key, or a glob (with * or ?) of all of it.
bool matches(std::string_view pattern, const std::string& key);

}  // namespace greta::probes
