#include "reference/float_attention.hpp"

#include <fmt/format.h>

namespace greta::reference {
namespace {

float narrow(Rounding type, float x) {
  if (type == Rounding::f16) return to_f16(x);
  return type == Rounding::bf16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

// c + Σ a·b: a chain of fused multiply-adds, or the unit's blocks of 16.
float product(const FusedKernel& kernel, float c, const std::vector<float>& a, const std::vector<float>& b) {
  if (kernel.unit == Unit::ieee) {
    for (size_t k = 0; k < a.size(); ++k) c = std::fma(a[k], b[k], c);
    return c;
  }
  std::vector<double> x(a.begin(), a.end()), y(b.begin(), b.end());
  x.resize((x.size() + 15) / 16 * 16);
  y.resize(x.size());
  double sum = c;
  for (size_t k = 0; k < x.size(); k += 16)
    sum = unit_block(kernel.unit, sum, Narrow(x).subspan(k, 16), Narrow(y).subspan(k, 16), kernel.operands);
  return static_cast<float>(sum);
}

// One row of one head over the keys of one part.
struct Running {
  float max = -INFINITY, sum = 0;
  std::vector<float> out;
};

struct Row {
  const FusedKernel& kernel;
  const FusedFault& fault;
  float scale;  // with log2 e in it for base 2
  std::vector<float> q;

  // e^(scale·(x − max)); `max` is scaled already.
  float weight(float score, float max) const {
    if (fault.exp2_alone) return std::exp2(score * scale - max);
    return kernel.base_2 ? std::exp2(std::fma(score, scale, -max)) : std::exp(score * scale - max);
  }
  float factor(float from, float to) const {
    return kernel.base_2 || fault.exp2_alone ? std::exp2(from - to) : std::exp(from - to);
  }

  void tile(Running& r, const std::vector<std::vector<float>>& keys,
            const std::vector<std::vector<float>>& columns, const std::vector<bool>& seen,
            const std::vector<bool>& summed) const {
    std::vector<float> scores(keys.size());
    float max = r.max;
    for (size_t t = 0; t < keys.size(); ++t) {
      if (!seen[t]) continue;
      scores[t] = product(kernel, 0, q, keys[t]);
      max = std::max(max, scores[t] * scale);
    }
    if (max == -INFINITY) return;
    const float old = r.max == -INFINITY ? 0.0f : factor(r.max, max);
    r.max = max;
    r.sum *= old;
    std::vector<float> p(keys.size());
    for (size_t t = 0; t < keys.size(); ++t) {
      const float e = seen[t] ? weight(scores[t], max) : 0.0f;
      if (summed[t]) r.sum += e;
      p[t] = narrow(kernel.p, e);
    }
    for (size_t d = 0; d < columns.size(); ++d) r.out[d] = product(kernel, r.out[d] * old, p, columns[d]);
  }
};

}  // namespace

std::string FusedKernel::contract(int64_t T, int64_t head_dim) const {
  const auto steps = [this](int64_t terms) { return unit == Unit::ieee ? terms : (terms + 15) / 16 * 16; };
  const int64_t tiles = (T + tile - 1) / tile, share = (tiles + parts - 1) / parts;
  return fmt::format(
      "op=attention x={0} w={0} p={1} acc=f32 chain={2} sum={3} rescales={4} rounds={5} exp=1 div=1 unit={6}",
      name_of(operands), name_of(p), steps(head_dim), share * steps(tile) + parts - 1, share + (parts > 1),
      base_2 ? 1 : 2, name_of(unit));
}

FloatMatrix fused_attention(const FusedKernel& kernel, const Config& config, int64_t start,
                            const FloatMatrix& q, const FloatMatrix& keys, const FloatMatrix& values,
                            const FusedFault& fault) {
  const int64_t T = keys.rows, Dh = config.head_dim, group = config.heads / config.kv_heads;
  const auto narrowed = [&](const FloatMatrix& m, int64_t row, int64_t first) {
    auto part = m.part(row, first, Dh);
    for (auto& x : part) x = narrow(kernel.operands, x);
    return part;
  };
  double scale = fault.no_scale ? 1 : 1 / std::sqrt(static_cast<double>(Dh));
  if (kernel.base_2 && !fault.exp2_alone) scale *= 1.4426950408889634;
  const int64_t tiles = (T + kernel.tile - 1) / kernel.tile,
                share = (tiles + kernel.parts - 1) / kernel.parts;
  FloatMatrix out(q.rows, q.columns);
  for (int64_t s = 0; s < q.rows; ++s) {
    for (int64_t h = 0; h < config.heads; ++h) {
      const int64_t kv = (fault.modulo ? h % config.kv_heads : h / group) * Dh;
      const Row row{kernel, fault, static_cast<float>(scale), narrowed(q, s, h * Dh)};
      std::vector<Running> parts;
      for (int64_t first = 0; first < tiles; first += share) {
        Running r;
        r.out.assign(static_cast<size_t>(Dh), 0.0f);
        const int64_t end = std::min(first + share, tiles);
        for (int64_t i = first; i < end; ++i) {
          const int64_t begin = (kernel.backwards ? first + end - 1 - i : i) * kernel.tile;
          std::vector<std::vector<float>> of_keys, columns(static_cast<size_t>(Dh));
          std::vector<bool> seen, summed;
          for (int64_t t = begin; t < std::min(begin + kernel.tile, T); ++t) {
            of_keys.push_back(narrowed(keys, t, kv));
            const auto v = narrowed(values, t, kv);
            for (size_t d = 0; d < v.size(); ++d) columns[d].push_back(v[d]);
            seen.push_back((fault.no_mask || t <= start + s + fault.mask_shift) &&
                           (fault.window < 0 || t < fault.window));
            summed.push_back(!fault.short_sum || t + 1 < T);
          }
          row.tile(r, of_keys, columns, seen, summed);
        }
        parts.push_back(std::move(r));
      }
      float max = -INFINITY, sum = 0;
      for (const auto& part : parts) max = std::max(max, part.max);
      std::vector<float> mixed(static_cast<size_t>(Dh), 0.0f);
      for (const auto& part : parts) {
        if (part.max == -INFINITY) continue;
        const float factor = parts.size() == 1 ? 1.0f : row.factor(part.max, max);
        sum += part.sum * factor;
        for (size_t d = 0; d < mixed.size(); ++d) mixed[d] += part.out[d] * factor;
      }
      for (int64_t d = 0; d < Dh; ++d) out(s, h * Dh + d) = mixed[static_cast<size_t>(d)] / sum;
    }
  }
  return out;
}

}  // namespace greta::reference
