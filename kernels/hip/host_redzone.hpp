// Host machine: what unwritten memory and red zones hold. Both are NaN when read as f32, f16 or f64; a red
// zone's bytes are not those of a fill nor of a usual NaN, so that a write over them shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/hip/host_fibers.hpp"

namespace greta::kernels::host {

inline constexpr int kUnwritten = 0xff;
inline constexpr uint64_t kRedZone = 0xffa5ffa5ffa5ffa5u;

inline void poison_for_asan([[maybe_unused]] const void* zone, [[maybe_unused]] size_t bytes) {
#ifdef GRETA_ASAN
  __asan_poison_memory_region(zone, bytes);
#endif
}
inline void unpoison_for_asan([[maybe_unused]] const void* zone, [[maybe_unused]] size_t bytes) {
#ifdef GRETA_ASAN
  __asan_unpoison_memory_region(zone, bytes);
#endif
}

inline void paint_red_zone(uint8_t* zone, size_t bytes) {
  unpoison_for_asan(zone, bytes);
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) std::memcpy(zone + i, &kRedZone, 8);
  std::memcpy(zone + i, &kRedZone, bytes - i);
  poison_for_asan(zone, bytes);
}

// Under ASan the write itself was reported, and the zone must not be read.
inline bool red_zone_intact([[maybe_unused]] const uint8_t* zone, [[maybe_unused]] size_t bytes) {
#ifdef GRETA_ASAN
  return true;
#else
  uint64_t different = 0, word = kRedZone;
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    std::memcpy(&word, zone + i, 8);
    different |= word ^ kRedZone;
  }
  word = kRedZone;
  std::memcpy(&word, zone + i, bytes - i);
  return (different | (word ^ kRedZone)) == 0;
#endif
}

inline bool red_byte_intact(const uint8_t* zone, size_t i) {
  return zone[i] == (i % 2 ? kRedZone >> 8 & 0xff : kRedZone & 0xff);
}
// Offsets of the first and last damaged byte of a zone that is not intact.
inline size_t first_damage(const uint8_t* zone) {
  size_t i = 0;
  while (red_byte_intact(zone, i)) ++i;
  return i;
}
inline size_t last_damage(const uint8_t* zone, size_t bytes) {
  size_t i = bytes - 1;
  while (red_byte_intact(zone, i)) --i;
  return i;
}

}  // namespace greta::kernels::host
