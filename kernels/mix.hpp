// SplitMix64 (Steele, Lea and Flood 2014): a word and its index, mixed.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

__host__ __device__ __forceinline__ uint64_t mix(uint64_t word, uint64_t index) {
  uint64_t z = word + 0x9e3779b97f4a7c15u * (index + 1);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

}  // namespace greta::kernels::inline GRETA_MACHINE
