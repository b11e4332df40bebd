#include "datasets/tensor.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "datasets/error.hpp"

namespace greta {

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::f64:
      return "f64";
  }
  return "?";
}

size_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
  }
  return 0;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(std::accumulate(shape_.begin(), shape_.end(), int64_t{1}, std::multiplies<>())),
      storage_(std::make_shared_for_overwrite<std::byte[]>(bytes())) {}

Tensor Tensor::from_f32(std::vector<int64_t> shape, std::span<const float> values) {
  Tensor tensor(DType::f32, std::move(shape));
  if (tensor.size() != static_cast<int64_t>(values.size()))
    fail_internal("tensor of shape {} cannot hold {} values", to_string(tensor.shape()), values.size());
  std::memcpy(tensor.data(), values.data(), values.size_bytes());
  return tensor;
}

std::span<float> Tensor::f32() {
  if (dtype_ != DType::f32) fail_internal("tensor is {}, not f32", name_of(dtype_));
  return {reinterpret_cast<float*>(storage_.get()), static_cast<size_t>(size_)};
}

std::span<const float> Tensor::f32() const {
  if (dtype_ != DType::f32) fail_internal("tensor is {}, not f32", name_of(dtype_));
  return {reinterpret_cast<const float*>(storage_.get()), static_cast<size_t>(size_)};
}

std::vector<double> Tensor::to_f64() const {
  std::vector<double> out(static_cast<size_t>(size_));
  if (dtype_ == DType::f32) {
    const auto values = f32();
    std::copy(values.begin(), values.end(), out.begin());
    return out;
  }
  if (dtype_ == DType::f64) {
    if (size_ > 0) std::memcpy(out.data(), storage_.get(), bytes());
    return out;
  }
  const auto* bits = reinterpret_cast<const uint16_t*>(storage_.get());
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = dtype_ == DType::f16 ? f16_to_f32(bits[i]) : bf16_to_f32(bits[i]);
  return out;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  if (shape_.empty() || begin < 0 || end < begin || end > shape_[0])
    fail_internal("rows {} to {} of a tensor of shape {}", begin, end, to_string(shape_));
  auto shape = shape_;
  shape[0] = end - begin;
  Tensor out(dtype_, shape);
  const size_t row_bytes = shape_[0] == 0 ? 0 : bytes() / static_cast<size_t>(shape_[0]);
  if (out.bytes() > 0) std::memcpy(out.data(), data() + begin * row_bytes, out.bytes());
  return out;
}

std::string to_string(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);  // quiet, payload kept
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const int exponent = (bits >> 10) & 31;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  // The scale is a power of two, so the product is exact, subnormals included.
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(mantissa | 0x400u), exponent - 25);
  return sign ? -magnitude : magnitude;
}

uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u | static_cast<uint16_t>((magnitude >> 13) & 0x3ffu);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal, in units of 2^-24
    const double units = std::ldexp(static_cast<double>(std::bit_cast<float>(magnitude)), 24);
    return sign | static_cast<uint16_t>(std::nearbyint(units));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

}  // namespace greta
