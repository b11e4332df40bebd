// What proves that a copy from a device arrived whole: a checksum that the device computes where the tensor
// lies and the host where it arrived, and a pattern whose every word is known. The device's side is
// kernels/evidence.hpp; neither includes the other.
//
// Words are 8 bytes, little end first, the last filled up with zeros. mix(x, i) = f(x + g·(i + 1)) with
// SplitMix64's step g and finaliser f (Steele, Lea and Flood 2014), a bijection of x for each i. The checksum
// is Σ_i mix(word i, i) + mix(bytes, 2⁶⁴ − 1), modulo 2⁶⁴: any one changed word changes it, any other change
// all but surely (2⁻⁶⁴). Word i of the pattern is mix(seed, i).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace greta {

uint64_t mix_word(uint64_t word, uint64_t index);
uint64_t checksum(std::span<const std::byte> bytes);
std::string checksum_hex(uint64_t checksum);         // 16 digits
uint64_t parse_checksum(const std::string& digits);  // Error (bad_input): not such

struct PatternFaults {
  int64_t words = 0, wrong = 0;
  int64_t first = -1;  // of the wrong words
};
PatternFaults check_pattern(uint64_t seed, std::span<const std::byte> bytes);

}  // namespace greta
