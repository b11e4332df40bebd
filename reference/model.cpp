#include <cblas.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>

#include "datasets/error.hpp"
#include "reference/config.hpp"
#include "reference/dequantise.hpp"

namespace greta::reference {
namespace {

// Weights up to kKept bytes in float64 stay, kBudget bytes of them, the least recently used go first. Of a
// model that is larger than the budget only the small ones stay: the others would be gone before their next
// turn.
constexpr size_t kKept = size_t{64} << 20, kBudget = size_t{384} << 20, kSmall = size_t{1} << 20;

int64_t tile_rows(int64_t rows, int64_t columns, const TileSize& size) {
  const int64_t share = (rows / size.least_tiles + size.step - 1) / size.step * size.step;
  const int64_t fit = std::clamp(size.values / std::max<int64_t>(columns, 1), size.step, size.most_rows);
  return std::min(fit, std::max<int64_t>(share, size.step));
}

class Cache {
 public:
  MatrixPtr find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(name);
    if (found == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }
  void insert(const std::string& name, MatrixPtr matrix) {
    const std::lock_guard lock(mutex_);
    if (index_.contains(name)) return;  // another thread was faster
    bytes_ += bytes_of(matrix);
    order_.emplace_front(name, std::move(matrix));
    index_[name] = order_.begin();
    while (bytes_ > kBudget) {
      bytes_ -= bytes_of(order_.back().second);
      index_.erase(order_.back().first);
      order_.pop_back();
    }
  }
  static size_t bytes_of(const MatrixPtr& matrix) {
    return static_cast<size_t>(matrix->size()) * sizeof(double);
  }

 private:
  std::mutex mutex_;
  size_t bytes_ = 0;
  std::list<std::pair<std::string, MatrixPtr>> order_;
  std::unordered_map<std::string, decltype(order_)::iterator> index_;
};

}  // namespace

struct Model::State {
  explicit State(const GgufFile& gguf) : file(gguf), config(read_config(file)), all_bytes(bytes_of(file)) {}

  void unpack(const GgufTensor& tensor, int64_t begin, int64_t end, double* out) const {
    const auto bytes = tensor.data.subspan(static_cast<size_t>(begin * tensor.row_bytes()),
                                           static_cast<size_t>((end - begin) * tensor.row_bytes()));
    dequantise(tensor.type, bytes, {out, static_cast<size_t>((end - begin) * tensor.columns())});
  }

  template <typename Body>
  static void for_tiles(int64_t rows, int64_t columns, const TileSize& size, const Body& body) {
    const int64_t step = tile_rows(rows, columns, size), tiles = (rows + step - 1) / step;
    tbb::parallel_for(int64_t{0}, tiles,
                      [&](int64_t tile) { body(tile * step, std::min(rows, (tile + 1) * step)); });
  }

  MatrixPtr whole(const GgufTensor& tensor) {
    if (auto kept = cache.find(tensor.name)) return kept;
    auto matrix = std::make_shared<Matrix>(tensor.rows(), tensor.columns());
    for_tiles(tensor.rows(), tensor.columns(), kCachedTile,
              [&](int64_t begin, int64_t end) { unpack(tensor, begin, end, matrix->row(begin).data()); });
    if (keeps(tensor)) cache.insert(tensor.name, matrix);
    return matrix;
  }
  bool keeps(const GgufTensor& tensor) const {
    return bytes_of(tensor) <= (all_bytes <= kBudget ? kKept : kSmall);
  }
  static size_t bytes_of(const GgufTensor& tensor) {
    return static_cast<size_t>(tensor.rows() * tensor.columns()) * sizeof(double);
  }
  static size_t bytes_of(const GgufFile& file) {
    size_t sum = 0;
    for (const auto& tensor : file.tensors()) sum += bytes_of(tensor);
    return sum;
  }

  GgufFile file;  // holds the mapping
  Config config;
  size_t all_bytes;  // of all weights in float64
  Cache cache;
};

Model::Model(const GgufFile& file) : state_(std::make_unique<State>(file)) {
  // Threads are ours, over tiles: then results do not depend on how many there are.
  openblas_set_num_threads(1);
}
Model::~Model() = default;

const Config& Model::config() const { return state_->config; }

MatrixPtr Model::weight(const std::string& name) const { return state_->whole(state_->file.tensor(name)); }

void Model::weight_row(const std::string& name, int64_t row, std::span<double> out) const {
  const auto& tensor = state_->file.tensor(name);
  if (row < 0 || row >= tensor.rows()) fail_internal("{} has {} rows, no row {}", name, tensor.rows(), row);
  dequantise(tensor.type, tensor.row(row), out);
}

std::span<const std::byte> Model::weight_bytes(const std::string& name, int64_t row) const {
  return state_->file.tensor(name).row(row);
}

Model::WeightInfo Model::weight_info(const std::string& name) const {
  const auto& tensor = state_->file.tensor(name);
  return {tensor.type, tensor.rows(), tensor.columns()};
}

void Model::visit_tiles(const std::string& name, const TileVisitor& visit, const TileSize& size) const {
  const auto& tensor = state_->file.tensor(name);
  const auto kept = state_->keeps(tensor) ? state_->whole(tensor) : nullptr;
  State::for_tiles(tensor.rows(), tensor.columns(), size, [&](int64_t begin, int64_t end) {
    if (kept) return visit(begin, kept->middleRows(begin, end - begin));
    thread_local Matrix tile;
    tile.resize(end - begin, tensor.columns());
    state_->unpack(tensor, begin, end, tile.data());
    visit(begin, tile);
  });
}

std::string Model::output_weight() const {
  return state_->config.tied_output ? "token_embd.weight" : "output.weight";
}

}  // namespace greta::reference
