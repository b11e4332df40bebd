#include "reference/dequantise.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "datasets/error.hpp"

namespace greta::reference {
namespace {

int byte(const std::byte* bytes, int index) { return std::to_integer<int>(bytes[index]); }
int signed_byte(const std::byte* bytes, int index) { return static_cast<int8_t>(byte(bytes, index)); }
uint16_t word(const std::byte* bytes) { return static_cast<uint16_t>(byte(bytes, 0) | byte(bytes, 1) << 8); }

void f32(const std::byte* block, double* out) {
  const auto bits = word(block) | static_cast<uint32_t>(word(block + 2)) << 16;
  *out = std::bit_cast<float>(bits);
}
void f16(const std::byte* block, double* out) { *out = half_value(word(block)); }
void bf16(const std::byte* block, double* out) { *out = bfloat_value(word(block)); }

void q8_0(const std::byte* block, double* out) {
  const double d = half_value(word(block));
  for (int i = 0; i < 32; ++i) out[i] = d * signed_byte(block, 2 + i);
}

void q4_0(const std::byte* block, double* out) {
  const double d = half_value(word(block));
  for (int i = 0; i < 16; ++i) {
    out[i] = d * ((byte(block, 2 + i) & 15) - 8);
    out[i + 16] = d * ((byte(block, 2 + i) >> 4) - 8);
  }
}

// Scale and min of sub-block j: six bits each, packed in 12 bytes.
struct ScaleMin {
  int scale, min;
};
ScaleMin scale_min(const std::byte* s, int j) {
  if (j < 4) return {byte(s, j) & 63, byte(s, j + 4) & 63};
  return {(byte(s, j + 4) & 15) | (byte(s, j - 4) >> 6) << 4, (byte(s, j + 4) >> 4) | (byte(s, j) >> 6) << 4};
}

// Integer i of sub-block j: the low (even j) or high (odd j) nibble of the j/2-th 32 bytes, and in Q5_K bit j
// of the fifth bits.
template <bool kFifthBit>
int q45(const std::byte* block, int j, int i) {
  const auto* fifth = block + 16;
  const auto* nibbles = block + (kFifthBit ? 48 : 16);
  int q = byte(nibbles, j / 2 * 32 + i) >> (j % 2 * 4) & 15;
  if constexpr (kFifthBit) q |= (byte(fifth, i) >> j & 1) << 4;
  return q;
}

template <bool kFifthBit>
void q45_k(const std::byte* block, double* out) {
  const double d = half_value(word(block)), dmin = half_value(word(block + 2));
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(block + 4, j);
    for (int i = 0; i < 32; ++i) out[j * 32 + i] = d * scale * q45<kFifthBit>(block, j, i) - dmin * min;
  }
}

template <bool kFifthBit>
void q45_k_parts(const std::byte* block, double* integers, double* scales, double* minima) {
  const double d = half_value(word(block)), dmin = half_value(word(block + 2));
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(block + 4, j);
    scales[j] = d * scale;
    minima[j] = dmin * min;
    for (int i = 0; i < 32; ++i) integers[j * 32 + i] = q45<kFifthBit>(block, j, i);
  }
}

// Integer i of quarter r of half h: low or high nibbles of ql, bits 2r and 2r+1 of qh.
int q6(const std::byte* block, int h, int r, int i) {
  const int nibble = byte(block, h * 64 + r % 2 * 32 + i) >> (r / 2 * 4) & 15;
  return (nibble | (byte(block, 128 + h * 32 + i) >> (2 * r) & 3) << 4) - 32;
}

void q6_k(const std::byte* block, double* out) {
  const double d = half_value(word(block + 208));
  for (int h = 0; h < 2; ++h) {
    const auto* scales = block + 192 + h * 8;
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 32; ++i)
        out[h * 128 + r * 32 + i] = d * signed_byte(scales, r * 2 + i / 16) * q6(block, h, r, i);
  }
}

void q6_k_parts(const std::byte* block, double* integers, double* scales, double* minima) {
  const double d = half_value(word(block + 208));
  for (int j = 0; j < 16; ++j) {
    scales[j] = d * signed_byte(block, 192 + j);
    minima[j] = 0;
  }
  for (int h = 0; h < 2; ++h)
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 32; ++i) integers[h * 128 + r * 32 + i] = q6(block, h, r, i);
}

struct Unpacker {
  GgmlType type;
  int values, bytes;
  void (*unpack)(const std::byte*, double*);
};
constexpr std::array<Unpacker, 8> kUnpackers = {{
    {GgmlType::F32, 1, 4, f32},
    {GgmlType::F16, 1, 2, f16},
    {GgmlType::BF16, 1, 2, bf16},
    {GgmlType::Q8_0, 32, 34, q8_0},
    {GgmlType::Q4_0, 32, 18, q4_0},
    {GgmlType::Q4_K, 256, 144, q45_k<false>},
    {GgmlType::Q5_K, 256, 176, q45_k<true>},
    {GgmlType::Q6_K, 256, 210, q6_k},
}};

struct Taker {  // apart
  GgmlType type;
  int bytes, sub_block;
  void (*take)(const std::byte*, double* integers, double* scales, double* minima);
};
constexpr int kSuperBlock = 256;
constexpr std::array<Taker, 3> kTakers = {{
    {GgmlType::Q4_K, 144, 32, q45_k_parts<false>},
    {GgmlType::Q5_K, 176, 32, q45_k_parts<true>},
    {GgmlType::Q6_K, 210, 16, q6_k_parts},
}};

}  // namespace

double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double magnitude;
  if (exponent == 31)
    magnitude = fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    magnitude = fraction * 0x1p-24;
  else
    magnitude = (1024 + fraction) * std::bit_cast<double>(static_cast<uint64_t>(exponent - 25 + 1023) << 52);
  return bits >> 15 ? -magnitude : magnitude;
}

double bfloat_value(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

void dequantise(GgmlType type, std::span<const std::byte> bytes, std::span<double> out) {
  for (const auto& row : kUnpackers) {
    if (row.type != type) continue;
    const size_t blocks = bytes.size() / row.bytes;
    if (bytes.size() % row.bytes != 0 || out.size() != blocks * row.values)
      fail_internal("{} bytes of type {} are not {} values", bytes.size(), static_cast<int>(type),
                    out.size());
    for (size_t b = 0; b < blocks; ++b) row.unpack(bytes.data() + b * row.bytes, out.data() + b * row.values);
    return;
  }
  fail_internal("the reference cannot unpack type {}", static_cast<int>(type));
}

int sub_block_of(GgmlType type) {
  for (const auto& row : kTakers)
    if (row.type == type) return row.sub_block;
  return 0;
}

void dequantise_parts(GgmlType type, std::span<const std::byte> bytes, std::span<double> integers,
                      std::span<double> scales, std::span<double> minima) {
  for (const auto& row : kTakers) {
    if (row.type != type) continue;
    const size_t blocks = bytes.size() / row.bytes, subs = kSuperBlock / row.sub_block;
    if (bytes.size() % row.bytes != 0 || integers.size() != blocks * kSuperBlock ||
        scales.size() != blocks * subs || minima.size() != blocks * subs)
      fail_internal("{} bytes of type {} are not {} values of {} scales", bytes.size(),
                    static_cast<int>(type), integers.size(), scales.size());
    for (size_t b = 0; b < blocks; ++b)
      row.take(bytes.data() + b * row.bytes, integers.data() + b * kSuperBlock, scales.data() + b * subs,
               minima.data() + b * subs);
    return;
  }
  fail_internal("type {} has no parts", static_cast<int>(type));
}

}  // namespace greta::reference
