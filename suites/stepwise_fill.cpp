#include "suites/stepwise_fill.hpp"

#include <cstring>

namespace greta::suites {

void StepwiseFill::add(int64_t row, const engine::TapRecord& record) {
  if (!record.stage) return;
  const Stage stage = *record.stage;
  // The last call's contract stands for all: its sums over the cache are the longest.
  phase_.declare(info(stage).per_layer ? record.layer : -1, stage, record.contract, record.kernel);
  if (stage != Stage::k_rope && stage != Stage::v) return;
  Rows& rows = rows_[{record.layer, stage}];
  if (rows.tensor.size() == 0) rows.tensor = Tensor(record.tensor->dtype(), shape_of(stage, phase_.sizes));
  const size_t row_bytes = rows.tensor.bytes() / static_cast<size_t>(phase_.sizes.S);
  // A row of another size, or with no position, leaves a gap in the positions, which the evidence reports.
  if (record.tensor->bytes() != row_bytes) return;
  std::memcpy(rows.tensor.data() + static_cast<size_t>(row) * row_bytes, record.tensor->data(), row_bytes);
  rows.tap.positions.insert(rows.tap.positions.end(), record.positions.begin(), record.positions.end());
  rows.tap.kernel = record.kernel;
  rows.tap.contract = record.contract;
}

void StepwiseFill::finish(const std::function<void(int layer, Stage, probes::Tap)>& use) {
  for (auto& [key, rows] : rows_) {
    rows.tap.tensor = std::make_shared<const Tensor>(std::move(rows.tensor));
    use(key.first, key.second, std::move(rows.tap));
  }
}

}  // namespace greta::suites
