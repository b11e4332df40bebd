// CDNA2 (gfx90a), v_mfma_f32_16x16x16 f16 and bf16_1k: for each 4 products, c += (p0 + p1) + (p2 + p3).
//
// Every product and sum is rounded to f32, to nearest even; a subnormal result is flushed to zero of its
// sign, a subnormal operand or accumulator is read as +0. From the measurements in MMA-Sim (arXiv
// 2511.10909): no card of this kind was at hand.
#include "kernels/hip/host_unit.hpp"
#include "kernels/hip/host_unit_parts.hpp"

namespace greta::kernels::host {
namespace {

constexpr int kGroup = 4;

float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
float flushed_in(float x) { return std::fabs(x) < 0x1p-126f ? 0.0f : x; }

template <class Format>
void read(const uint16_t* bits, float* out) {
  for (int i = 0; i < kUnitCells; ++i) {
    const bool subnormal = (bits[i] >> Format::kFraction & Format::kExponents) == 0;
    const int field = bits[i] >> Format::kFraction & Format::kExponents;
    const uint32_t fraction = static_cast<uint32_t>(bits[i] & ((1 << Format::kFraction) - 1))
                              << (23 - Format::kFraction);
    const auto wide = static_cast<uint32_t>(field == Format::kExponents ? 0xff : field - Format::kBias + 127)
                      << 23;
    out[i] =
        subnormal ? 0.0f : std::bit_cast<float>(static_cast<uint32_t>(bits[i] >> 15) << 31 | wide | fraction);
  }
}

template <class Format>
void multiply(const uint16_t* a_bits, const uint16_t* b_bits, float* c) {
  float a[kUnitCells], b[kUnitCells];
  read<Format>(a_bits, a);
  read<Format>(b_bits, b);
  for (int i = 0; i < kUnitCells; ++i) c[i] = flushed_in(c[i]);
  for (int row = 0; row < kUnitTile; ++row) {
    float* const c_row = c + row * kUnitTile;
    for (int k = 0; k < kUnitTile; k += kGroup) {
      const float* const x = a + row * kUnitTile + k;
      for (int j = 0; j < kUnitTile; ++j) {
        const float* const y = b + k * kUnitTile + j;
        const float low = flushed(flushed(x[0] * y[0]) + flushed(x[1] * y[kUnitTile]));
        const float high = flushed(flushed(x[2] * y[2 * kUnitTile]) + flushed(x[3] * y[3 * kUnitTile]));
        c_row[j] = flushed(c_row[j] + flushed(low + high));
      }
    }
  }
  for (int i = 0; i < kUnitCells; ++i) {
    if (c[i] != c[i]) c[i] = NAN;  // one NaN, whatever the CPU makes
  }
}

}  // namespace

const UnitProducts kCdna2Products{multiply<F16Bits>, multiply<Bf16Bits>};

}  // namespace greta::kernels::host
