// Counter-based random deviates: a function of (key, index) alone, so that results do not depend on the order
// or the number of threads.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace greta::reference {

inline uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

inline uint64_t key_of(std::initializer_list<uint64_t> parts) {
  uint64_t key = 0x9e3779b97f4a7c15u;
  for (const auto part : parts)
    key = scramble(key ^ scramble(part + 0x2545f4914f6cdd1du)) + 0x9e3779b97f4a7c15u;
  return key;
}

// Mean 0, variance 1: the sum of four uniforms (kurtosis 2.7, at most 3.46), which is enough for rounding
// errors, themselves uniform.
inline double deviate(uint64_t key, uint64_t index) {
  const uint64_t word = scramble(key + index * 0x9e3779b97f4a7c15u);
  const auto sum =
      static_cast<int64_t>((word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48));
  return static_cast<double>(sum - 2 * 0xffff) * (1.0 / 37837.227);  // √(4·(2³² − 1)/12)
}

}  // namespace greta::reference
