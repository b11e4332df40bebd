// What the bytes of a GGUF tensor mean, in float64, from the public description of the formats.
#pragma once

#include <cstddef>
#include <span>

#include "datasets/gguf.hpp"

namespace greta::reference {

double half_value(uint16_t bits);    // IEEE 754 binary16
double bfloat_value(uint16_t bits);  // the upper half of a binary32

// `bytes` holds whole blocks of `type`, `out` their values. Error (internal) when the sizes do not fit each
// other.
//   F32, F16, BF16   the value itself
//   Q8_0  34 bytes   f16 d, 32 int8 q:                          d·q
//   Q4_0  18 bytes   f16 d, 16 bytes: low nibbles 0..15, high nibbles 16..31:  d·(q − 8)
//   Q4_K  144 bytes  f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes of nibbles:  d·sc·q −
//   dmin·m Q5_K  176 bytes  the same with 32 bytes of fifth bits before the nibbles Q6_K  210 bytes  128
//   bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, f16 d:  d·sc·(q − 32)
// Every product above has at most 23 significant bits, so it is exact in f32; the difference (Q4_K, Q5_K) may
// not be.
void dequantise(GgmlType type, std::span<const std::byte> bytes, std::span<double> out);

// The same taken apart: value = integer·scale − minimum, a scale and a minimum for each sub-block of so many
// values (0: the type is not made so). Q4_K, Q5_K: scale = d·sc, minimum = dmin·m. Q6_K: scale = d·sc,
// integer = q − 32, minimum 0. The spans as for dequantise.
int sub_block_of(GgmlType type);
void dequantise_parts(GgmlType type, std::span<const std::byte> bytes, std::span<double> integers,
                      std::span<double> scales, std::span<double> minima);

// Whether the value is a difference, which f32 has to round.
inline bool rounds_in_f32(GgmlType type) { return type == GgmlType::Q4_K || type == GgmlType::Q5_K; }

}  // namespace greta::reference
