// How a kernel gets from a weight's bytes to the numbers that it multiplies with: rightly, or as a hypothesis
// has it.
#pragma once

#include "reference/parts.hpp"

namespace greta::reference {

struct WeightReading {
  // Rewrites the packed bytes of one row so that the right unpacking makes the wrong values of them.
  using Misreading = void (*)(GgmlType, std::span<std::byte> row);
  // Changes a row's values where no bytes would give them.
  using Change = void (*)(GgmlType, std::span<const std::byte> row, std::span<double> values);

  std::vector<Misreading> misreadings;  // one after another
  std::vector<Change> changes;
  bool loaded_transposed = false;  // W'[n, k] is element n·K + k of the transpose written flat
  bool by_column = false;          // W'[n, k] is element k·N + n of the weight written flat

  bool as_packed() const { return misreadings.empty() && changes.empty(); }
  bool in_place() const { return !loaded_transposed && !by_column; }
};

// A weight under a reading; the right reading costs nothing.
class WeightReader {
 public:
  // `own`: the values that stand in place of those that the file's bytes mean (not null with a reading that
  // unpacks them otherwise: Error internal). Error (invalid) when they are not as many.
  WeightReader(const Model& model, std::string gguf_name, const WeightReading& reading,
               TensorPtr own = nullptr);

  const Model::WeightInfo& info() const { return info_; }
  // Row n of W'. Where W' is another order of the weight, every row that it touches is unpacked.
  void row(int64_t n, std::span<double> out) const;
  // All of W', 8 bytes an element.
  MatrixPtr whole() const;
  // As Model::visit_tiles; where W' is another order of the weight, by way of whole().
  void visit_tiles(const Model::TileVisitor& visit, const TileSize& size = kWideTile) const;
  // Every row taken apart, in parallel and in no order. Values that no bytes stand behind (the engine's own
  // view, another order) are taken as (w + M)·1 − M with M the sub-block's largest |w|, 0 for a type without
  // minima: as large as the parts of a sub-block that has small integers.
  using PartsVisitor = std::function<void(int64_t row, const WeightParts& parts)>;
  void visit_parts(int sub_block, const PartsVisitor& visit) const;

 private:
  int64_t place(int64_t n, int64_t k) const;  // of W'[n, k] in the weight written flat
  void unpack_row(int64_t row, std::span<double> out) const;
  void take_apart(std::span<const double> values, int sub_block, WeightParts& parts) const;
  bool as_in_file() const { return reading_.as_packed() && !own_; }

  const Model& model_;
  const std::string name_;
  const WeightReading& reading_;
  const Model::WeightInfo info_;
  const TensorPtr own_;
};

}  // namespace greta::reference
