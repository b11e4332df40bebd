// Weights that a loader unpacks wrongly. Most rows rewrite the packed bytes so that the right unpacking
// (dequantise.hpp) makes of them what the loader made of the original: so they compose.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "reference/dequantise.hpp"
#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

using Bytes = std::span<std::byte>;

constexpr size_t kQ4KBytes = 144, kQ6KBytes = 210;

template <typename Edit>
void for_blocks(GgmlType type, GgmlType wanted, size_t size, Bytes row, const Edit& edit) {
  if (type != wanted) return;
  for (size_t at = 0; at < row.size(); at += size) edit(row.subspan(at, size));
}

// Q4_K: f16 d, f16 dmin, 12 bytes of scales and mins, 128 bytes of nibbles.
template <typename Edit>
void for_q4_k(GgmlType type, Bytes row, const Edit& edit) {
  for_blocks(type, GgmlType::Q4_K, kQ4KBytes, row, edit);
}

int low(std::byte byte) { return std::to_integer<int>(byte & std::byte{15}); }
int high(std::byte byte) { return std::to_integer<int>(byte >> 4); }
std::byte pack(int low_nibble, int high_nibble) {
  return static_cast<std::byte>(low_nibble | high_nibble << 4);
}

void swap_nibbles(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) {
    for (auto& byte : block.subspan(16)) byte = pack(high(byte), low(byte));
  });
}

// Value m of each 64 comes from byte m/2; rightly values i and 32 + i come from byte i.
void interleave_nibbles(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) {
    for (size_t at = 16; at < kQ4KBytes; at += 32) {
      std::array<int, 64> values;
      for (size_t i = 0; i < 32; ++i) {
        values[2 * i] = low(block[at + i]);
        values[2 * i + 1] = high(block[at + i]);
      }
      for (size_t i = 0; i < 32; ++i) block[at + i] = pack(values[i], values[32 + i]);
    }
  });
}

// Number i of a little-endian stream of 6-bit numbers.
int six_bits(std::span<const std::byte> bytes, size_t i) {
  int number = 0;
  for (size_t bit = 0; bit < 6; ++bit) {
    const size_t at = 6 * i + bit;
    number |= std::to_integer<int>(bytes[at / 8] >> at % 8 & std::byte{1}) << bit;
  }
  return number;
}

// Puts the numbers of the stream where the right unpacking finds scales 0 to 7 and mins 0 to 7.
void read_scales_linearly(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) {
    std::array<int, 16> numbers;
    const auto packed = block.subspan(4, 12);
    for (size_t i = 0; i < 16; ++i) numbers[i] = six_bits(packed, i);
    const auto* mins = &numbers[8];
    for (size_t j = 0; j < 4; ++j) {
      packed[j] = static_cast<std::byte>(numbers[j] | numbers[j + 4] >> 4 << 6);
      packed[j + 4] = static_cast<std::byte>(mins[j] | mins[j + 4] >> 4 << 6);
      packed[j + 8] = pack(numbers[j + 4] & 15, mins[j + 4] & 15);
    }
  });
}

// The upper two bits of scales and mins 4 to 7 lie above the scales and mins 0 to 3.
void drop_scales_high_bits(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) {
    for (auto& byte : block.subspan(4, 8)) byte &= std::byte{63};
  });
}

void negate_min(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) { block[3] ^= std::byte{0x80}; });  // the sign of dmin
}

void zero_min(GgmlType type, Bytes row) {
  for_q4_k(type, row, [](Bytes block) { block[2] = block[3] = std::byte{0}; });
}

// Q6_K: 128 bytes of low nibbles, 64 of high bit pairs, 16 scales, f16 d.
void drop_q6_k_high_bits(GgmlType type, Bytes row) {
  for_blocks(type, GgmlType::Q6_K, kQ6KBytes, row,
             [](Bytes block) { std::ranges::fill(block.subspan(128, 64), std::byte{0}); });
}

// d·sc·(q − 32) + 32·d·sc: 24 significant bits, exact.
void add_q6_k_offset(GgmlType type, std::span<const std::byte> row, std::span<double> values) {
  if (type != GgmlType::Q6_K) return;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto block = row.subspan(i / 256 * kQ6KBytes, kQ6KBytes);
    const auto d = std::to_integer<uint16_t>(block[208]) | std::to_integer<uint16_t>(block[209]) << 8;
    const auto scale = static_cast<int8_t>(block[192 + i % 256 / 16]);
    values[i] += 32 * half_value(static_cast<uint16_t>(d)) * scale;
  }
}

// Where a block has its f16 d (with dmin in Q4_K).
struct ScalePlace {
  GgmlType type;
  size_t at, bytes;
};
constexpr std::array<ScalePlace, 4> kScalePlaces = {{
    {GgmlType::Q4_K, 0, 4},
    {GgmlType::Q6_K, 208, 2},
    {GgmlType::Q8_0, 0, 2},
    {GgmlType::Q4_0, 0, 2},
}};

const ScalePlace* scale_place(GgmlType type) {
  const auto found = std::ranges::find(kScalePlaces, type, &ScalePlace::type);
  return found == kScalePlaces.end() ? nullptr : &*found;
}

void take_next_scale(GgmlType type, Bytes row) {
  const auto* place = scale_place(type);
  if (!place) return;
  const auto size = static_cast<size_t>(info(type).block_bytes);
  const std::vector<std::byte> right(row.begin(), row.end());
  for (size_t at = 0; at < row.size(); at += size)
    std::memcpy(&row[at + place->at], &right[(at + size) % row.size() + place->at], place->bytes);
}

template <GgmlType type>
Message idle_unless(const Model::WeightInfo& weight) {
  return weight.type == type ? Message{} : say("the weight is {}", info(weight.type).name);
}

Message idle_scale(const Model::WeightInfo& weight) {
  if (!scale_place(weight.type)) return say("the weight is {}", info(weight.type).name);
  return weight.columns > info(weight.type).block_values ? Message{}
                                                         : say("each row of the weight is one block");
}

Message idle_transpose(const Model::WeightInfo& weight) {
  return weight.rows > 1 && weight.columns > 1 ? Message{} : say("the weight is a single row or column");
}

template <WeightReading::Misreading misread>
void misreads(Variant& v) {
  v.reading.misreadings.push_back(misread);
}

constexpr std::array<Hypothesis, 10> kTable = {{
    {"q4_k_nibbles=swapped", kNibbles, misreads<swap_nibbles>, nullptr, idle_unless<GgmlType::Q4_K>},
    {"q4_k_nibbles=interleaved", kNibbles, misreads<interleave_nibbles>, nullptr,
     idle_unless<GgmlType::Q4_K>},
    {"q4_k_scales=linear", kScales, misreads<read_scales_linearly>, nullptr, idle_unless<GgmlType::Q4_K>},
    {"q4_k_scales=low_bits", kScales, misreads<drop_scales_high_bits>, nullptr, idle_unless<GgmlType::Q4_K>},
    {"q4_k_min=added", kMins, misreads<negate_min>, nullptr, idle_unless<GgmlType::Q4_K>},
    {"q4_k_min=left_out", kMins, misreads<zero_min>, nullptr, idle_unless<GgmlType::Q4_K>},
    {"q6_k_high_bits=dropped", kHighBits, misreads<drop_q6_k_high_bits>, nullptr,
     idle_unless<GgmlType::Q6_K>},
    {"q6_k_offset=left_out", kOffset, [](Variant& v) { v.reading.changes.push_back(add_q6_k_offset); },
     nullptr, idle_unless<GgmlType::Q6_K>},
    {"block_scale=neighbour", kBlocks, misreads<take_next_scale>, nullptr, idle_scale},
    {"load_layout=transposed", kLoading, [](Variant& v) { v.reading.loaded_transposed = true; }, nullptr,
     idle_transpose},
}};

}  // namespace

std::span<const Hypothesis> unpacking_hypotheses() { return kTable; }

}  // namespace greta::reference
