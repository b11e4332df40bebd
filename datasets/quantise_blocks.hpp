// One function a block type; quantise() checks and calls them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace greta {

void quantise_q8_0(const float* values, std::byte* out);  // 32 values, 34 bytes
void quantise_q4_0(const float* values, std::byte* out);  // 32 values, 18 bytes
void quantise_q4_k(const float* values, std::byte* out);  // 256 values, 144 bytes
void quantise_q5_k(const float* values, std::byte* out);  // 256 values, 176 bytes
void quantise_q6_k(const float* values, std::byte* out);  // 256 values, 210 bytes

// The scale as the block stores it (f16), and what a reader makes of it. Error (bad_input) when it is beyond
// f16.
struct StoredScale {
  uint16_t bits;
  float value;
};
StoredScale store_scale(float scale);

inline void put_u16(std::byte* out, uint16_t bits) { std::memcpy(out, &bits, sizeof bits); }

}  // namespace greta
