// For tests: a Llama forward pass in plain f32 loops, prefill and decode, that declares its contracts: a
// correct engine, small enough to read.
#pragma once

#include <map>

#include "reference/config.hpp"
#include "reference/float_kernels.hpp"
#include "reference/reference.hpp"

namespace greta::reference {

struct FloatMatrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> data;
  FloatMatrix() = default;
  FloatMatrix(int64_t r, int64_t c) : rows(r), columns(c), data(static_cast<size_t>(r * c)) {}
  float& operator()(int64_t i, int64_t k) { return data[static_cast<size_t>(i * columns + k)]; }
  float operator()(int64_t i, int64_t k) const { return data[static_cast<size_t>(i * columns + k)]; }
  std::vector<float> part(int64_t row, int64_t begin, int64_t count) const {
    const auto first = data.begin() + row * columns + begin;
    return {first, first + count};
  }
  Matrix to_f64() const {
    return Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>(data.data(), rows, columns)
        .cast<double>();
  }
};

class FloatLlama {
 public:
  // half: activations and weights are rounded to f16 before they are multiplied.
  FloatLlama(const Model& model, const Summation& order, bool half);

  void forward(const Call& call);  // appends to the cache
  Contract contract(Stage stage) const;
  Fetch fetch() const;  // of the last call
  Matrix stage(Stage stage, int layer) const;

  // Called on each stage as soon as it is there: to plant a fault.
  std::function<void(Stage, int layer, FloatMatrix&)> tamper;

 private:
  using Key = std::pair<Stage, int>;
  FloatMatrix& put(Stage stage, int layer, FloatMatrix matrix);
  const FloatMatrix& at(Stage stage, int layer) const { return stages_.at({stage, layer}); }
  FloatMatrix matmul(const FloatMatrix& x, const std::string& weight) const;
  FloatMatrix rms_norm(const FloatMatrix& x, const std::string& weight) const;
  FloatMatrix rope(const FloatMatrix& x, const Call& call) const;
  FloatMatrix append(Key cache, const FloatMatrix& rows, int start);
  FloatMatrix scores(const FloatMatrix& q, const FloatMatrix& keys, const Call& call) const;
  FloatMatrix softmax(const FloatMatrix& scores, int64_t T) const;
  FloatMatrix mix(const FloatMatrix& p, const FloatMatrix& values) const;
  void layer(int l, const Call& call);
  float dot(std::vector<float> w, std::vector<float> x) const;
  std::string dot_contract(const char* op, int64_t terms) const;

  const Model& model_;
  Config config_;
  Summation order_;
  bool half_;
  int64_t T_ = 0;
  std::map<Key, FloatMatrix> stages_, caches_;
};

}  // namespace greta::reference
