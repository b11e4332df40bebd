#include "reference/weight_reading.hpp"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>

#include "datasets/error.hpp"
#include "reference/dequantise.hpp"

namespace greta::reference {

WeightReader::WeightReader(const Model& model, std::string gguf_name, const WeightReading& reading,
                           TensorPtr own)
    : model_(model),
      name_(std::move(gguf_name)),
      reading_(reading),
      info_(model.weight_info(name_)),
      own_(std::move(own)) {
  if (!own_) return;
  if (!reading_.as_packed())
    fail_internal("{} is read from the engine's own view, which has no packed bytes", name_);
  if (own_->size() != info_.rows * info_.columns)
    fail_invalid("the engine's view of {} is {}, the file has [{}, {}]", name_, to_string(own_->shape()),
                 info_.rows, info_.columns);
}

// Loaded, then read. Element `at` of the transpose, K rows of N, is row at % N, column at / N of the weight.
int64_t WeightReader::place(int64_t n, int64_t k) const {
  const int64_t N = info_.rows, K = info_.columns;
  const int64_t at = reading_.by_column ? k * N + n : n * K + k;
  return reading_.loaded_transposed ? at % N * K + at / N : at;
}

void WeightReader::unpack_row(int64_t row, std::span<double> out) const {
  if (own_) {
    const auto values = own_->f32().subspan(static_cast<size_t>(row * info_.columns), out.size());
    std::copy(values.begin(), values.end(), out.begin());
    return;
  }
  if (reading_.as_packed()) return model_.weight_row(name_, row, out);
  const auto stored = model_.weight_bytes(name_, row);
  std::vector<std::byte> bytes(stored.begin(), stored.end());
  for (const auto misread : reading_.misreadings) misread(info_.type, bytes);
  dequantise(info_.type, bytes, out);
  for (const auto change : reading_.changes) change(info_.type, bytes, out);
}

void WeightReader::row(int64_t n, std::span<double> out) const {
  if (reading_.in_place()) return unpack_row(n, out);
  std::vector<double> scratch(static_cast<size_t>(info_.columns));
  int64_t unpacked = -1;
  for (int64_t k = 0; k < info_.columns; ++k) {
    const int64_t at = place(n, k), row = at / info_.columns;
    if (row != unpacked) unpack_row(unpacked = row, scratch);
    out[static_cast<size_t>(k)] = scratch[static_cast<size_t>(at % info_.columns)];
  }
}

MatrixPtr WeightReader::whole() const {
  if (reading_.in_place() && as_in_file()) return model_.weight(name_);
  auto loaded = std::make_shared<Matrix>(info_.rows, info_.columns);
  tbb::parallel_for(int64_t{0}, info_.rows, [&](int64_t n) {
    unpack_row(n, {loaded->row(n).data(), static_cast<size_t>(info_.columns)});
  });
  if (reading_.in_place()) return loaded;
  auto moved = std::make_shared<Matrix>(info_.rows, info_.columns);
  tbb::parallel_for(int64_t{0}, info_.rows, [&](int64_t n) {
    for (int64_t k = 0; k < info_.columns; ++k) (*moved)(n, k) = loaded->data()[place(n, k)];
  });
  return moved;
}

void WeightReader::visit_tiles(const Model::TileVisitor& visit, const TileSize& size) const {
  if (reading_.in_place() && as_in_file()) return model_.visit_tiles(name_, visit, size);
  const MatrixPtr moved = reading_.in_place() ? nullptr : whole();
  model_.visit_tiles(
      name_,
      [&](int64_t begin, const Eigen::Ref<const Matrix>& right) {
        if (moved) return visit(begin, moved->middleRows(begin, right.rows()));
        thread_local Matrix tile;
        tile.resize(right.rows(), right.cols());
        for (int64_t i = 0; i < tile.rows(); ++i)
          unpack_row(begin + i, {tile.row(i).data(), static_cast<size_t>(tile.cols())});
        visit(begin, tile);
      },
      size);
}

void WeightReader::take_apart(std::span<const double> values, int sub_block, WeightParts& parts) const {
  const bool minima = info_.type != GgmlType::Q6_K;
  parts.whole = false;
  for (size_t b = 0; b < parts.scales.size(); ++b) {
    const size_t begin = b * static_cast<size_t>(sub_block), end = begin + static_cast<size_t>(sub_block);
    double largest = 0;
    for (size_t k = begin; k < end && minima; ++k) largest = std::max(largest, std::abs(values[k]));
    for (size_t k = begin; k < end; ++k) parts.integers[k] = values[k] + largest;
    parts.scales[b] = 1;
    parts.minima[b] = largest;
  }
}

void WeightReader::visit_parts(int sub_block, const PartsVisitor& visit) const {
  const auto columns = static_cast<size_t>(info_.columns), subs = columns / static_cast<size_t>(sub_block);
  const MatrixPtr moved = reading_.in_place() ? nullptr : whole();
  const bool packed = !moved && !own_ && reading_.changes.empty() && sub_block_of(info_.type) == sub_block;
  constexpr int64_t kRows = 32;
  tbb::parallel_for(tbb::blocked_range<int64_t>(0, info_.rows, kRows), [&](const auto& range) {
    WeightParts parts{std::vector<double>(columns), std::vector<double>(subs), std::vector<double>(subs)};
    std::vector<double> values(packed ? 0 : columns);
    std::vector<std::byte> bytes;
    for (int64_t row = range.begin(); row < range.end(); ++row) {
      if (packed) {
        const auto stored = model_.weight_bytes(name_, row);
        bytes.assign(stored.begin(), stored.end());
        for (const auto misread : reading_.misreadings) misread(info_.type, bytes);
        dequantise_parts(info_.type, bytes, parts.integers, parts.scales, parts.minima);
      } else {
        if (moved)
          std::copy_n(moved->row(row).data(), columns, values.begin());
        else
          unpack_row(row, values);
        take_apart(values, sub_block, parts);
      }
      visit(row, parts);
    }
  });
}

}  // namespace greta::reference
