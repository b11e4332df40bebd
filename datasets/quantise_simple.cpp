// quantise(): checks and dispatch; and the types without a search.
#include <bit>
#include <cmath>

#include "datasets/error.hpp"
#include "datasets/quantise.hpp"
#include "datasets/quantise_blocks.hpp"
#include "datasets/tensor.hpp"

namespace greta {
namespace {

void check_finite(std::span<const float> values) {
  // Exponent all ones: NaN or infinity. An OR over the block finds one without a branch per value.
  uint32_t found = 0;
  for (const float value : values) {
    const auto magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
    found |= static_cast<uint32_t>(magnitude >= 0x7f800000u);
  }
  if (!found) return;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail_input("value {} to quantise is {}; weights must be finite", i, values[i]);
}

// No packed type reaches further (Q6_K does: 65504·128·32), and below it no sum of the searches overflows.
void check_reach(std::span<const float> values) {
  constexpr float kReach = 2.7e8f;
  for (size_t i = 0; i < values.size(); ++i)
    if (std::fabs(values[i]) > kReach)
      fail_input("value {} to quantise is {}, beyond what a packed type holds; use BF16 or F32", i,
                 values[i]);
}

void to_f16(std::span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = f32_to_f16(values[i]);
    if ((bits & 0x7fffu) == 0x7c00u)
      fail_input("value {} to store as F16 is {}, beyond 65504; use BF16 or F32", i, values[i]);
    put_u16(out + 2 * i, bits);
  }
}

void to_bf16(std::span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = f32_to_bf16(values[i]);
    if ((bits & 0x7fffu) == 0x7f80u)
      fail_input("value {} to store as BF16 is {}, beyond its largest; use F32", i, values[i]);
    put_u16(out + 2 * i, bits);
  }
}

using BlockQuantiser = void (*)(const float*, std::byte*);

BlockQuantiser block_quantiser(GgmlType type) {
  switch (type) {
    case GgmlType::Q8_0:
      return quantise_q8_0;
    case GgmlType::Q4_0:
      return quantise_q4_0;
    case GgmlType::Q4_K:
      return quantise_q4_k;
    case GgmlType::Q5_K:
      return quantise_q5_k;
    case GgmlType::Q6_K:
      return quantise_q6_k;
    case GgmlType::F32:
    case GgmlType::F16:
    case GgmlType::BF16:
      break;
  }
  fail_internal("{} has no blocks", info(type).name);
}

constexpr float kRoundingMagic =
    12582912.0f;  // 1.5·2²³: adding and taking it away rounds |x| < 2²² to nearest even
float round_even(float value) { return (value + kRoundingMagic) - kRoundingMagic; }
float clamp(float value, float low, float high) { return value < low ? low : value > high ? high : value; }

// The value of largest magnitude, with its sign.
float extreme_of(const float* values, int count) {
  float extreme = 0;
  for (int i = 0; i < count; ++i)
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  return extreme;
}

}  // namespace

StoredScale store_scale(float scale) {
  auto bits = f32_to_f16(scale);
  // f16's subnormals are coarse: a scale rounded down there would cut the range short by several per cent.
  if ((bits & 0x7c00u) == 0 && std::fabs(f16_to_f32(bits)) < std::fabs(scale)) ++bits;
  if ((bits & 0x7c00u) == 0x7c00u)
    fail_input("a block's scale is {}, beyond f16's 65504; these values are too large for a packed type",
               scale);
  return {bits, f16_to_f32(bits)};
}

int64_t packed_bytes(GgmlType type, int64_t values) {
  const auto& layout = info(type);
  if (values % layout.block_values != 0)
    fail_internal("{} values are not a multiple of {}'s block of {}", values, layout.name,
                  layout.block_values);
  return values / layout.block_values * layout.block_bytes;
}

void quantise(GgmlType type, std::span<const float> values, std::span<std::byte> out) {
  const auto count = static_cast<int64_t>(values.size());
  if (static_cast<int64_t>(out.size()) != packed_bytes(type, count))
    fail_internal("{} values of {} take {} bytes, not {}", count, info(type).name, packed_bytes(type, count),
                  out.size());
  check_finite(values);
  switch (type) {
    case GgmlType::F32:
      if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
      return;
    case GgmlType::F16:
      return to_f16(values, out.data());
    case GgmlType::BF16:
      return to_bf16(values, out.data());
    default:
      break;
  }
  check_reach(values);
  const auto& layout = info(type);
  const auto block = block_quantiser(type);
  for (int64_t i = 0; i < count / layout.block_values; ++i)
    block(values.data() + i * layout.block_values, out.data() + i * layout.block_bytes);
}

void quantise_q8_0(const float* values, std::byte* out) {
  const auto d = store_scale(std::fabs(extreme_of(values, 32)) / 127.0f);
  const float inverse = d.value > 0 ? 1.0f / d.value : 0.0f;
  put_u16(out, d.bits);
  for (int i = 0; i < 32; ++i)
    out[2 + i] =
        static_cast<std::byte>(static_cast<int8_t>(round_even(clamp(values[i] * inverse, -127, 127))));
}

void quantise_q4_0(const float* values, std::byte* out) {
  // The extreme becomes −8, the end of the range that has no counterpart.
  const auto d = store_scale(extreme_of(values, 32) / -8.0f);
  const float inverse = d.value != 0 ? 1.0f / d.value : 0.0f;
  const auto code = [&](int i) {
    return static_cast<int>(round_even(clamp(values[i] * inverse, -8, 7))) + 8;
  };
  put_u16(out, d.bits);
  for (int i = 0; i < 16; ++i) out[2 + i] = static_cast<std::byte>(code(i) | code(i + 16) << 4);
}

}  // namespace greta
