// Random 16x16x16 products of the kinds that tell one matrix unit's arithmetic from another's. Every tile is
// made from its own seed, so a mismatch is made again from the seed alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>

#include "kernels/hip/host_unit_parts.hpp"

namespace greta::kernels::card {

struct ProductTile {
  uint16_t a[host::kUnitCells], b[host::kUnitCells];  // [row][k], [k][column]
  float c[host::kUnitCells];
};

enum class Kind {
  ordinary,      // exponents within 5 of 1, both signs
  same_sign,     // the same, all positive: shows a bias
  spread,        // exponents over a window as wide as a sum keeps
  wide,          // every finite operand equally likely
  subnormal,     // operands and accumulators half subnormal
  cancellation,  // pairs that cancel, and a small rest
  accumulator,   // c any finite f32, or minus what the products make
  zeros,         // most operands ±0
  huge,          // near and beyond the largest numbers
  tiny,          // near and below the smallest
  special        // a few infinities and NaN
};
inline constexpr const char* kKinds[] = {"ordinary",  "same_sign",    "spread",      "wide",
                                         "subnormal", "cancellation", "accumulator", "zeros",
                                         "huge",      "tiny",         "special"};
inline constexpr int kKindCount = 11;

template <class Format>
class TileMaker {
 public:
  TileMaker(Kind kind, uint64_t seed) : kind_(kind), random_(seed) {}

  void make(ProductTile& t) {
    window_ = below(2 * kTop) - kTop / 2;
    for (uint16_t& x : t.a) x = operand();
    for (uint16_t& x : t.b) x = operand();
    if (kind_ == Kind::cancellation) cancel(t);
    for (float& c : t.c) c = accumulator();
    if (kind_ == Kind::accumulator || kind_ == Kind::cancellation) answer(t);
    if (kind_ == Kind::special) {
      for (int i = below(4); i >= 0; --i) t.a[below(host::kUnitCells)] = not_finite();
      for (int i = below(4); i >= 0; --i) t.b[below(host::kUnitCells)] = not_finite();
      for (int i = below(8); i >= 0; --i)
        t.c[below(host::kUnitCells)] = f32(below(2), 255, chance(2) ? 0 : below(1 << 23));
    }
  }

 private:
  static constexpr int kTop = Format::kExponents - 1;

  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool chance(int one_in) { return below(one_in) == 0; }

  uint16_t bits(int sign, int field, int fraction) {
    return static_cast<uint16_t>(sign << 15 | std::clamp(field, 0, kTop) << Format::kFraction | fraction);
  }
  float f32(int sign, int field, int fraction) {
    return std::bit_cast<float>(static_cast<uint32_t>(sign) << 31 | static_cast<uint32_t>(field) << 23 |
                                static_cast<uint32_t>(fraction));
  }
  uint16_t not_finite() {
    return static_cast<uint16_t>(below(2) << 15 | Format::kExponents << Format::kFraction |
                                 (chance(2) ? 0 : below(1 << Format::kFraction)));
  }
  int fraction() {
    const int any = below(1 << Format::kFraction);
    return chance(4) ? any & below(1 << Format::kFraction) & below(1 << Format::kFraction) : any;
  }

  uint16_t operand() {
    const int near_one = Format::kBias - 4 + below(6);
    switch (kind_) {
      case Kind::same_sign:
        return bits(0, near_one, fraction());
      case Kind::spread:
        return bits(below(2), Format::kBias - 8 + below(16), fraction());
      case Kind::wide:
        return bits(below(2), below(kTop + 1), fraction());
      case Kind::subnormal:
        return bits(below(2), chance(2) ? 0 : Format::kBias - 12 + below(26), fraction());
      case Kind::zeros:
        return chance(4) ? bits(below(2), chance(2) ? near_one : below(kTop + 1), fraction())
                         : bits(below(2), 0, 0);
      case Kind::huge:
        return bits(below(2), Format::kBias + (Format::kBias + 1) / 2 - 8 + below(12), fraction());
      case Kind::tiny:  // bf16: products about 2^-149
        return bits(below(2), Format::kBias == 15 ? below(6) : 127 - 75 - 8 + below(16), fraction());
      default:
        return bits(below(2), near_one, fraction());
    }
  }

  float accumulator() {
    const int any = below(1 << 23);
    switch (kind_) {
      case Kind::same_sign:
        return f32(0, 120 + below(10), any);
      case Kind::spread:
        return f32(below(2), 127 - 16 + below(32), any);
      case Kind::wide:
        return f32(below(2), std::clamp(127 + 2 * (window_ - Format::kBias) + below(64) - 32, 0, 254), any);
      case Kind::subnormal:
        return f32(below(2), chance(2) ? 0 : 127 - 45 + below(60), any);
      case Kind::accumulator:
        return f32(below(2), below(255), any);
      case Kind::zeros:
        return chance(3) ? f32(below(2), 127 - 40 + below(40), any) : f32(below(2), 0, 0);
      case Kind::huge:
        return f32(below(2), 254 - below(12), any);
      case Kind::tiny:
        return chance(4) ? f32(below(2), 0, 0) : f32(below(2), below(30), any);
      default:
        return f32(below(2), 120 + below(10), any);
    }
  }

  // b[k + 1] = -b[k], a[k + 1] = a[k] for most pairs, the others small: what is left of the largest bits.
  void cancel(ProductTile& t) {
    for (int k = 0; k < host::kUnitTile; k += 2) {
      const bool small = chance(4);
      const int less = 4 + below(9);
      for (int i = 0; i < host::kUnitTile; ++i) {
        uint16_t *const a = t.a + i * host::kUnitTile + k, *const b = t.b + k * host::kUnitTile + i;
        if (small) {
          for (uint16_t* x : {a, a + 1, b, b + host::kUnitTile})
            *x = bits(*x >> 15, (*x >> Format::kFraction & Format::kExponents) - less, fraction());
        } else {
          a[1] = a[0];
          b[host::kUnitTile] = b[0] ^ 0x8000;
        }
      }
    }
  }

  // Some accumulators become minus the sum of their products, a bit or two off.
  void answer(ProductTile& t) {
    for (int i = 0; i < host::kUnitCells; ++i) {
      if (!chance(2)) continue;
      double sum = 0;
      for (int k = 0; k < host::kUnitTile; ++k) {
        sum += host::number<Format>(t.a[i / host::kUnitTile * host::kUnitTile + k]) *
               host::number<Format>(t.b[k * host::kUnitTile + i % host::kUnitTile]);
      }
      uint32_t wide = std::bit_cast<uint32_t>(static_cast<float>(-sum));
      if ((wide & 0x7f800000u) == 0x7f800000u) continue;
      if (chance(2)) wide ^= static_cast<uint32_t>(below(4));
      t.c[i] = std::bit_cast<float>(wide);
    }
  }

  Kind kind_;
  std::mt19937_64 random_;
  int window_ = 0;
};

}  // namespace greta::kernels::card
