// For tests: a cache of any type in device memory, with the values that it really holds.
#pragma once

#include <memory>
#include <vector>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {

inline float stored_in(CacheType type, float value) {
  switch (type) {
    case CacheType::f32:
      return value;
    case CacheType::f16:
      return f16_to_f32(f32_to_f16_rn(value));
    case CacheType::bf16:
      return bf16_to_f32(f32_to_bf16_rn(value));
  }
  return std::nanf("");
}

class Cache {
 public:
  Cache(CacheType type, std::vector<float> values) : values_(std::move(values)) {
    if (type == CacheType::f32) {
      wide_ = std::make_unique<DeviceArray<float>>(values_);
      return;
    }
    std::vector<half_bits> bits(values_.size());
    for (size_t i = 0; i < bits.size(); ++i) {
      bits[i] = type == CacheType::f16 ? f32_to_f16_rn(values_[i]) : f32_to_bf16_rn(values_[i]);
      values_[i] = stored_in(type, values_[i]);
    }
    narrow_ = std::make_unique<DeviceArray<half_bits>>(bits);
  }
  const std::vector<float>& values() const { return values_; }
  void* data() const { return wide_ ? static_cast<void*>(wide_->data()) : narrow_->data(); }
  // What device memory holds now; elements that nothing wrote are NaN.
  std::vector<float> read(CacheType type) const {
    if (wide_) return wide_->read();
    std::vector<float> values;
    for (const half_bits bits : narrow_->read()) {
      values.push_back(type == CacheType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits));
    }
    return values;
  }

 private:
  std::vector<float> values_;
  std::unique_ptr<DeviceArray<float>> wide_;
  std::unique_ptr<DeviceArray<half_bits>> narrow_;
};

}  // namespace greta::kernels::test
