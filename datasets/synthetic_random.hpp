// Counter-based random numbers: each is a function of (seed, tensor, row, index) alone, so rows can be made
// in any order, and of integer arithmetic, + and × alone, so that they are the same on every machine.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace greta {

// SplitMix64's finaliser (Steele, Lea and Flood 2014; constants by Stafford): a bijection of 64 bits.
inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class RandomRow {
 public:
  RandomRow(uint64_t seed, std::string_view tensor, int64_t row)
      : key_(mix(mix(seed + kStep) + XXH3_64bits(tensor.data(), tensor.size()) +
                 mix(static_cast<uint64_t>(row) * kStep + 1))) {}

  uint64_t bits(int64_t index) const { return mix(key_ + static_cast<uint64_t>(index) * kStep); }

  // Uniform in [0, 1), a multiple of 2⁻²⁴.
  float uniform(int64_t index) const { return static_cast<float>(bits(index) >> 40) * 0x1p-24f; }

  // Mean 0, variance 1, heavier tails than a normal's (kurtosis 5.3, largest magnitude 6.8). With z the
  // standardised sum of four uniforms, t = a·(z + z³·0.15): E z⁴ = 2.7 and E z⁶ = 10.929, so Var(z + c·z³) =
  // 1 + 5.4c + 10.929c² = 2.0559 = 1/a².
  float deviate(int64_t index) const {
    const uint64_t word = bits(index);
    const auto sum =
        static_cast<int32_t>((word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48));
    const float z = static_cast<float>(sum - 2 * 0xffff) * (1.0f / 37837.227f);  // √(4·(2³² − 1)/12)
    return z * (0.69743f + 0.10461f * (z * z));
  }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;  // 2⁶⁴ / golden ratio, odd
  uint64_t key_;
};

}  // namespace greta
