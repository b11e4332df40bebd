// A dense row-major tensor on the host, as an engine handed it over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace greta {

enum class DType : uint8_t { f32, f16, bf16, f64 };  // f64: what the reference computes

std::string_view name_of(DType);
size_t bytes_of(DType);

// Value type; shared between the writer, the reference and the probes as TensorPtr.
class Tensor {
 public:
  Tensor() = default;
  // Uninitialised storage: every producer fills the whole of it.
  Tensor(DType dtype, std::vector<int64_t> shape);
  static Tensor from_f32(std::vector<int64_t> shape, std::span<const float> values);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t size() const { return size_; }  // elements
  size_t bytes() const { return static_cast<size_t>(size_) * bytes_of(dtype_); }
  std::byte* data() { return storage_.get(); }
  const std::byte* data() const { return storage_.get(); }

  // Throws greta::Error (internal) when the dtype is not f32.
  std::span<float> f32();
  std::span<const float> f32() const;
  // Any dtype, exactly.
  std::vector<double> to_f64() const;
  // Rows [begin, end) along the first axis, copied.
  Tensor rows(int64_t begin, int64_t end) const;

 private:
  DType dtype_ = DType::f32;
  std::vector<int64_t> shape_;
  int64_t size_ = 0;
  std::shared_ptr<std::byte[]> storage_;  // shared by copies: a Tensor is handed on, not modified, once filled
};

using TensorPtr = std::shared_ptr<const Tensor>;

std::string to_string(std::span<const int64_t> shape);  // "[205, 8, 32]"

// Exact conversions of single values (IEEE 754 binary16, bfloat16).
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // round to nearest even, overflow to infinity
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);  // round to nearest even

}  // namespace greta
