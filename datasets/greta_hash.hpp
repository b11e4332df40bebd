// The 64-bit hash of the original GRETA traces, so that theirs can be held against ours: FNV's shape over
// 32-bit words, with a basis of their own.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace greta {

inline uint64_t greta_hash(std::span<const float> values) {
  uint64_t hash = 1469598103934665603u;
  for (const float value : values) {
    hash ^= std::bit_cast<uint32_t>(value);
    hash *= 1099511628211u;
  }
  return hash;
}

}  // namespace greta
