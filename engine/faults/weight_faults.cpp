#include "engine/faults/weight_faults.hpp"

#include <array>
#include <cstring>

namespace greta::engine::inline GRETA_MACHINE {
namespace {

using kernels::WeightType;

// A block's layout (docs of the formats: d, dmin f16; offsets in bytes).
constexpr int kQ4KBytes = 144, kQ4KScales = 4, kQ4KNibbles = 16, kQ6KBytes = 210, kQ6KHigh = 128,
              kQ6KScale = 208;

using Bytes = std::vector<uint8_t>;

void each_block(Bytes& bytes, size_t size, const auto& change) {
  for (size_t at = 0; at + size <= bytes.size(); at += size) change(bytes.data() + at);
}

void swap_nibbles(uint8_t* block) {
  for (int i = 0; i < 128; ++i) {
    uint8_t& byte = block[kQ4KNibbles + i];
    byte = static_cast<uint8_t>(byte << 4 | byte >> 4);
  }
}

// Each 32 bytes hold 64 values: value v of them is the low (v < 32) or high nibble of byte v mod 32. What a
// reader takes for value v when it expects pairs, nibble v mod 2 of byte v / 2, is put where v belongs.
void interleave_nibbles(uint8_t* block) {
  for (int group = 0; group < 4; ++group) {
    uint8_t* bytes = block + kQ4KNibbles + 32 * group;
    std::array<uint8_t, 64> values;
    for (int v = 0; v < 64; ++v) values[v] = v % 2 ? bytes[v / 2] >> 4 : bytes[v / 2] & 15;
    for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(values[i] | values[i + 32] << 4);
  }
}

struct ScalesMins {
  std::array<uint8_t, 8> scale, min;
};
ScalesMins read_scales(const uint8_t* s) {
  ScalesMins out;
  for (int j = 0; j < 4; ++j) {
    out.scale[j] = s[j] & 63;
    out.min[j] = s[j + 4] & 63;
    out.scale[j + 4] = static_cast<uint8_t>((s[j + 8] & 15) | s[j] >> 6 << 4);
    out.min[j + 4] = static_cast<uint8_t>(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
  }
  return out;
}
void write_scales(const ScalesMins& from, uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    s[j] = static_cast<uint8_t>(from.scale[j] | from.scale[j + 4] >> 4 << 6);
    s[j + 4] = static_cast<uint8_t>(from.min[j] | from.min[j + 4] >> 4 << 6);
    s[j + 8] = static_cast<uint8_t>((from.scale[j + 4] & 15) | (from.min[j + 4] & 15) << 4);
  }
}

void linear_scales(uint8_t* block) {
  uint8_t* s = block + kQ4KScales;
  const auto number = [&](int index) {
    const int bit = 6 * index;
    const int word = s[bit / 8] | (bit / 8 < 11 ? s[bit / 8 + 1] << 8 : 0);
    return static_cast<uint8_t>(word >> bit % 8 & 63);
  };
  ScalesMins wrong;
  for (int j = 0; j < 8; ++j) {
    wrong.scale[j] = number(j);
    wrong.min[j] = number(8 + j);
  }
  write_scales(wrong, s);
}

void low_bits_of_scales(uint8_t* block) {
  ScalesMins wrong = read_scales(block + kQ4KScales);
  for (int j = 4; j < 8; ++j) {
    wrong.scale[j] &= 15;
    wrong.min[j] &= 15;
  }
  write_scales(wrong, block + kQ4KScales);
}

void flip_min(uint8_t* block) { block[3] ^= 0x80; }
void no_min(uint8_t* block) { block[2] = block[3] = 0; }
void no_high_bits(uint8_t* block) { std::memset(block + kQ6KHigh, 0, 64); }

// Where a type keeps d (and dmin).
struct ScalePlace {
  WeightType type;
  size_t block, values, offset, bytes;
};
constexpr ScalePlace kScalePlaces[] = {{WeightType::q4_K, kQ4KBytes, 256, 0, 4},
                                       {WeightType::q6_K, kQ6KBytes, 256, kQ6KScale, 2},
                                       {WeightType::q8_0, 34, 32, 0, 2},
                                       {WeightType::q4_0, 18, 32, 0, 2}};

bool neighbours_scale(Bytes& bytes, const kernels::Weight& view) {
  for (const auto& place : kScalePlaces) {
    if (place.type != view.type) continue;
    const size_t blocks = static_cast<size_t>(view.columns) / place.values;
    if (blocks < 2) return false;
    const Bytes right = bytes;
    for (size_t at = 0; at < bytes.size() / place.block; ++at) {
      const size_t row = at / blocks * blocks, next = row + (at - row + 1) % blocks;
      std::memcpy(bytes.data() + at * place.block + place.offset,
                  right.data() + next * place.block + place.offset, place.bytes);
    }
    return true;
  }
  return false;
}

void store(LoadedWeight& weight, const void* bytes, size_t size, WeightType type) {
  weight.storage = kernels::DeviceBuffer<std::byte>(size);
  weight.storage.upload(static_cast<const std::byte*>(bytes), size);
  weight.view.data = weight.storage.data();
  weight.view.type = type;
}

std::vector<float> unpacked(const LoadedWeight& weight) {
  kernels::DeviceBuffer<float> values(static_cast<size_t>(weight.view.rows * weight.view.columns));
  const kernels::Stream stream;
  kernels::dequant(stream, weight.view, values.data());
  stream.synchronize();
  return values.download();
}

// d·sc·32 more than the right value d·sc·(q − 32).
void keep_offset(LoadedWeight& weight, const Bytes& bytes) {
  std::vector<float> values = unpacked(weight);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint8_t* block = bytes.data() + i / 256 * kQ6KBytes;
    const auto d = static_cast<uint16_t>(block[kQ6KScale] | block[kQ6KScale + 1] << 8);
    const int scale = static_cast<int8_t>(block[192 + i % 256 / 16]);
    values[i] += kernels::f16_to_f32(d) * static_cast<float>(scale) * 32.0f;
  }
  store(weight, values.data(), values.size() * sizeof(float), WeightType::f32);
}

void transpose(LoadedWeight& weight) {
  const std::vector<float> right = unpacked(weight);
  const auto N = static_cast<size_t>(weight.view.rows), K = static_cast<size_t>(weight.view.columns);
  std::vector<float> wrong(right.size());
  for (size_t n = 0; n < N; ++n)
    for (size_t k = 0; k < K; ++k) wrong[k * N + n] = right[n * K + k];
  store(weight, wrong.data(), wrong.size() * sizeof(float), WeightType::f32);
}

bool spoil(LoadedWeight& weight, const Fault& fault) {
  Bytes bytes(weight.storage.size());
  weight.storage.download(reinterpret_cast<std::byte*>(bytes.data()), bytes.size());
  const WeightType type = weight.view.type;
  if (fault.is("load_layout")) {
    transpose(weight);
    return true;
  }
  if (fault.is("block_scale")) {
    if (!neighbours_scale(bytes, weight.view)) return false;
  } else if (type == WeightType::q4_K && fault.is("q4_k_nibbles")) {
    each_block(bytes, kQ4KBytes, fault.is("q4_k_nibbles", "swapped") ? swap_nibbles : interleave_nibbles);
  } else if (type == WeightType::q4_K && fault.is("q4_k_scales")) {
    each_block(bytes, kQ4KBytes, fault.is("q4_k_scales", "linear") ? linear_scales : low_bits_of_scales);
  } else if (type == WeightType::q4_K && fault.is("q4_k_min")) {
    each_block(bytes, kQ4KBytes, fault.is("q4_k_min", "added") ? flip_min : no_min);
  } else if (type == WeightType::q6_K && fault.is("q6_k_high_bits")) {
    each_block(bytes, kQ6KBytes, no_high_bits);
  } else if (type == WeightType::q6_K && fault.is("q6_k_offset")) {
    keep_offset(weight, bytes);
    return true;
  } else {
    return false;
  }
  store(weight, bytes.data(), bytes.size(), type);
  return true;
}

}  // namespace

int spoil_weights(Weights& weights, std::span<const Fault> faults) {
  int changed = 0;
  for (const auto& weight : weights.all())
    for (const Fault& fault : faults)
      if (weight->view.rows > 1 && fault.strikes_weight(weight->name)) changed += spoil(*weight, fault);
  return changed;
}

}  // namespace greta::engine::inline GRETA_MACHINE
