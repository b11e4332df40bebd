// Q4_K, Q5_K and Q6_K. A sub-block's scale (and min) is searched in three steps:
//   1. sixteen candidate grids around the one that spans the values; for each the nearest codes q, and for
//   these codes the scale and
//      min that minimise E = Σ w·(s·q − m − x)² in closed form (normal equations); the best is kept;
//   2. the super-block's common scale is stored as f16 and the sub-blocks' scales and mins become integers of
//   it;
//   3. integers next to those are tried as a reader will see them, and the best pair is kept with its nearest
//   codes.
// The candidates of one step run side by side in the lanes of a vector, values one after the other, so that
// each sum has one order on every machine.
#include <cmath>
#include <cstring>

#include "datasets/quantise.hpp"
#include "datasets/quantise_blocks.hpp"

namespace greta {
namespace {

constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

constexpr float kRoundingMagic =
    12582912.0f;  // 1.5·2²³: adding and taking it away rounds |x| < 2²² to nearest even
inline float round_even(float value) { return (value + kRoundingMagic) - kRoundingMagic; }
inline float clamp(float value, float low, float high) {
  return value < low ? low : value > high ? high : value;
}
inline void clamp_round(Lanes& value, float low, float high) {
  value = value < low ? Lanes{} + low : value;
  value = value > high ? Lanes{} + high : value;
  value = (value + kRoundingMagic) - kRoundingMagic;
}

// One sub-block: x̂ = scale·q − min.
struct Grid {
  float scale = 0;
  float min = 0;
};

// Step 1 for unsigned codes 0..top.
Grid search_grid(const float* x, const float* w, int count, float top) {
  float low = 0, high = x[0];  // the min is stored unsigned, so a grid starts at 0 or below
  float sum_w = 0, sum_wx = 0, sum_wxx = 0;
  for (int i = 0; i < count; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
    sum_w += w[i];
    sum_wx += w[i] * x[i];
    sum_wxx += w[i] * x[i] * x[i];
  }
  if (!(high > low)) return {0, -low};

  Lanes inverse, sum_wq{}, sum_wqq{}, sum_wqx{};
  for (int lane = 0; lane < kLanes; ++lane) inverse[lane] = (top - 1.0f + 0.125f * lane) / (high - low);
  for (int i = 0; i < count; ++i) {
    Lanes q = (x[i] - low) * inverse;
    clamp_round(q, 0, top);
    const Lanes wq = w[i] * q;
    sum_wq += wq;
    sum_wqq += wq * q;
    sum_wqx += wq * x[i];
  }

  Grid best{(high - low) / top, -low};
  float best_error = 0;
  bool found = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const float wq = sum_wq[lane], wqq = sum_wqq[lane], wqx = sum_wqx[lane];
    const float determinant = sum_w * wqq - wq * wq;
    if (!(determinant > 0)) continue;
    float s = (sum_w * wqx - sum_wx * wq) / determinant;
    float m = (wq * wqx - wqq * sum_wx) / determinant;
    if (m < 0) {
      m = 0;
      s = wqx / wqq;
    }
    if (!(s > 0)) continue;
    const float error = s * s * wqq + m * m * sum_w + sum_wxx - 2 * s * m * wq - 2 * s * wqx + 2 * m * sum_wx;
    if (found && !(error < best_error)) continue;
    found = true;
    best_error = error;
    best = {s, m};
  }
  return best;
}

struct IntegerGrid {
  int scale = 0;
  int min = 0;
};

// Step 3 for unsigned codes: scales −1, 0, +1 and mins −2 … +2 around where the rounding fell.
IntegerGrid refine_grid(const float* x, const float* w, int count, float top, float d, float dmin,
                        const Grid& grid) {
  const float scale0 = d > 0 ? round_even(clamp(grid.scale / d, 0, 63)) : 0;
  const float min0 = dmin > 0 ? round_even(clamp(grid.min / dmin, 0, 63)) : 0;
  float scales[kLanes], mins[kLanes];
  Lanes scale, min, inverse, error{};
  for (int lane = 0; lane < kLanes; ++lane) {
    scales[lane] = lane < 15 ? clamp(scale0 + static_cast<float>(lane / 5 - 1), 0, 63) : scale0;
    mins[lane] = lane < 15 ? clamp(min0 + static_cast<float>(lane % 5 - 2), 0, 63) : min0;
    scale[lane] = d * scales[lane];
    min[lane] = dmin * mins[lane];
    inverse[lane] = scale[lane] > 0 ? 1.0f / scale[lane] : 0.0f;
  }
  for (int i = 0; i < count; ++i) {
    const Lanes target = x[i] + min;
    Lanes q = target * inverse;
    clamp_round(q, 0, top);
    const Lanes off = scale * q - target;
    error += w[i] * off * off;
  }
  int best = 15;  // the plain rounding wins ties
  for (int lane = 0; lane < 15; ++lane)
    if (error[lane] < error[best]) best = lane;
  return {static_cast<int>(scales[best]), static_cast<int>(mins[best])};
}

// Q4_K and Q5_K: d and dmin, 8 pairs of 6 bits, and 256 codes.
struct PackedHead {
  StoredScale d, dmin;
  IntegerGrid grids[8];
  uint8_t codes[256];
};

PackedHead search_super_block(const float* values, float top) {
  PackedHead out;
  Grid grids[8];
  float weights[256], most_scale = 0, most_min = 0;
  for (int j = 0; j < 8; ++j) {
    k_quant_weights({values + 32 * j, 32}, {weights + 32 * j, 32});
    grids[j] = search_grid(values + 32 * j, weights + 32 * j, 32, top);
    most_scale = grids[j].scale > most_scale ? grids[j].scale : most_scale;
    most_min = grids[j].min > most_min ? grids[j].min : most_min;
  }
  out.d = store_scale(most_scale / 63.0f);
  out.dmin = store_scale(most_min / 63.0f);
  for (int j = 0; j < 8; ++j) {
    const float* x = values + 32 * j;
    out.grids[j] = refine_grid(x, weights + 32 * j, 32, top, out.d.value, out.dmin.value, grids[j]);
    const float scale = out.d.value * static_cast<float>(out.grids[j].scale);
    const float min = out.dmin.value * static_cast<float>(out.grids[j].min);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; ++i)
      out.codes[32 * j + i] = static_cast<uint8_t>(round_even(clamp((x[i] + min) * inverse, 0, top)));
  }
  return out;
}

// 6-bit scales and mins in 12 bytes: the first four pairs in the low 6 bits of bytes 0–3 and 4–7, the other
// four split between the nibbles of bytes 8–11 and the top bits of 0–7.
void pack_head(const PackedHead& head, std::byte* out) {
  put_u16(out, head.d.bits);
  put_u16(out + 2, head.dmin.bits);
  uint8_t packed[12] = {};
  for (int j = 0; j < 4; ++j) {
    const auto& near = head.grids[j];
    const auto& far = head.grids[j + 4];
    packed[j] = static_cast<uint8_t>(near.scale | (far.scale >> 4) << 6);
    packed[j + 4] = static_cast<uint8_t>(near.min | (far.min >> 4) << 6);
    packed[j + 8] = static_cast<uint8_t>((far.scale & 15) | (far.min & 15) << 4);
  }
  std::memcpy(out + 4, packed, sizeof packed);
}

// Each 32 bytes hold two sub-blocks: the even one in the low nibbles, the odd one in the high.
void pack_nibbles(const uint8_t* codes, std::byte* out) {
  for (int pair = 0; pair < 4; ++pair)
    for (int i = 0; i < 32; ++i)
      out[32 * pair + i] =
          static_cast<std::byte>((codes[64 * pair + i] & 15) | (codes[64 * pair + 32 + i] & 15) << 4);
}

// Step 1 for Q6_K's signed codes −32..31 without a min: E is least for s = Σwqx / Σwqq, where it falls by
// (Σwqx)² / Σwqq.
float search_scale(const float* x, const float* w, int count) {
  float extreme = 0;
  for (int i = 0; i < count; ++i) extreme = std::fabs(x[i]) > std::fabs(extreme) ? x[i] : extreme;
  if (extreme == 0) return 0;
  Lanes inverse, sum_wqq{}, sum_wqx{};
  for (int lane = 0; lane < kLanes;
       ++lane)  // the extreme falls near −32 in the first half, near 31 in the second
    inverse[lane] = (lane < 8 ? -32.5f + 0.2f * lane : 30.0f + 0.2f * (lane - 8)) / extreme;
  for (int i = 0; i < count; ++i) {
    Lanes q = x[i] * inverse;
    clamp_round(q, -32, 31);
    const Lanes wq = w[i] * q;
    sum_wqq += wq * q;
    sum_wqx += wq * x[i];
  }
  float best_gain = 0, best = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(sum_wqq[lane] > 0)) continue;
    const float gain = sum_wqx[lane] * sum_wqx[lane] / sum_wqq[lane];
    if (!(gain > best_gain)) continue;
    best_gain = gain;
    best = sum_wqx[lane] / sum_wqq[lane];
  }
  return best;
}

// Step 3 for Q6_K: the integer scales from 7 below to 8 above where the rounding fell.
int refine_scale(const float* x, const float* w, int count, float d, float wanted) {
  if (d == 0) return 0;
  const float around = round_even(clamp(wanted / d, -128, 127));
  float scales[kLanes];
  Lanes scale, inverse, error{};
  for (int lane = 0; lane < kLanes; ++lane) {
    scales[lane] = clamp(around + static_cast<float>(lane - 7), -128, 127);
    scale[lane] = d * scales[lane];
    inverse[lane] = scale[lane] != 0 ? 1.0f / scale[lane] : 0.0f;
  }
  for (int i = 0; i < count; ++i) {
    Lanes q = x[i] * inverse;
    clamp_round(q, -32, 31);
    const Lanes off = scale * q - x[i];
    error += w[i] * off * off;
  }
  int best = 7;
  for (int lane = 0; lane < kLanes; ++lane)
    if (error[lane] < error[best]) best = lane;
  return static_cast<int>(scales[best]);
}

}  // namespace

void k_quant_weights(std::span<const float> values, std::span<float> weights) {
  float squares = 0;
  for (const float value : values) squares += value * value;
  const float rms = std::sqrt(squares / static_cast<float>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) weights[i] = rms + std::fabs(values[i]);
}

void quantise_q4_k(const float* values, std::byte* out) {
  const auto head = search_super_block(values, 15);
  pack_head(head, out);
  pack_nibbles(head.codes, out + 16);
}

void quantise_q5_k(const float* values, std::byte* out) {
  const auto head = search_super_block(values, 31);
  pack_head(head, out);
  for (int i = 0; i < 32; ++i) {  // bit j of byte i: the fifth bit of sub-block j's value i
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (head.codes[32 * j + i] >> 4) << j;
    out[16 + i] = static_cast<std::byte>(bits);
  }
  pack_nibbles(head.codes, out + 48);
}

void quantise_q6_k(const float* values, std::byte* out) {
  float weights[256], wanted[16], extreme = 0;
  for (int j = 0; j < 16; ++j) {
    k_quant_weights({values + 16 * j, 16}, {weights + 16 * j, 16});
    wanted[j] = search_scale(values + 16 * j, weights + 16 * j, 16);
    extreme = std::fabs(wanted[j]) > std::fabs(extreme) ? wanted[j] : extreme;
  }
  const auto d = store_scale(extreme / -128.0f);  // the extreme scale becomes −128
  put_u16(out + 208, d.bits);
  uint8_t codes[256];
  for (int j = 0; j < 16; ++j) {
    const int scale = refine_scale(values + 16 * j, weights + 16 * j, 16, d.value, wanted[j]);
    out[192 + j] = static_cast<std::byte>(static_cast<int8_t>(scale));
    const float step = d.value * static_cast<float>(scale);
    const float inverse = step != 0 ? 1.0f / step : 0.0f;
    for (int i = 16 * j; i < 16 * j + 16; ++i)
      codes[i] = static_cast<uint8_t>(32 + static_cast<int>(round_even(clamp(values[i] * inverse, -32, 31))));
  }
  for (int half = 0; half < 2; ++half) {  // low nibbles, then two high bits of four values a byte
    const uint8_t* q = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      out[64 * half + l] = static_cast<std::byte>((q[l] & 15) | (q[l + 64] & 15) << 4);
      out[64 * half + 32 + l] = static_cast<std::byte>((q[l + 32] & 15) | (q[l + 96] & 15) << 4);
      out[128 + 32 * half + l] = static_cast<std::byte>((q[l] >> 4) | (q[l + 32] >> 4) << 2 |
                                                        (q[l + 64] >> 4) << 4 | (q[l + 96] >> 4) << 6);
    }
  }
}

}  // namespace greta
