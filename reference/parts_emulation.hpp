// For tests: a kernel of the contract x=i32 w=parts in plain loops, from docs/contracts.md. Nothing of the
// reference's is used but its sub-blocks' size.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "reference/dequantise.hpp"

namespace greta::reference {

struct PartsRow {
  std::vector<double> integers, scales, minima;
};

struct FixedX {
  std::vector<int> p;  // of each value: its 256 columns'
  std::vector<int64_t> X;
};
inline FixedX fixed(const std::vector<float>& x) {
  FixedX out;
  for (size_t first = 0; first < x.size(); first += 256) {
    const size_t end = std::min<size_t>(first + 256, x.size());
    float m = 0;
    for (size_t k = first; k < end; ++k) m = std::max(m, std::abs(x[k]));
    const int p = m > 0 ? std::clamp(29 - std::ilogb(m), -100, 100) : 0;
    for (size_t k = first; k < end; ++k) {
      out.p.push_back(p);
      out.X.push_back(std::llrint(std::ldexp(double{x[k]}, p)));
    }
  }
  return out;
}

enum class BlockSum { exact, tree, line };  // of a sub-block's X

// What a kernel may choose.
struct PartsRoute {
  int sub_block = 32;
  bool minima = true;
  size_t lanes = 4;         // each has a running sum
  bool contiguous = false;  // a lane's sub-blocks are neighbours; else lane, lane + lanes, …
  bool backwards = false;   // and taken last first
  size_t batch = 1;         // a lane adds the scaled sums of so many sub-blocks before their minima
  BlockSum block_sum = BlockSum::tree;
  bool fused = true;
  bool line = false;  // lanes are added one after another

  static PartsRoute of(GgmlType type) {
    return {.sub_block = sub_block_of(type), .minima = type != GgmlType::Q6_K};
  }
  PartsRoute varied(std::mt19937_64& random) const {
    PartsRoute out = *this;
    out.lanes = size_t{1} << random() % 6;
    out.contiguous = random() % 2;
    out.backwards = random() % 2;
    out.batch = size_t{1} << random() % 4;
    out.block_sum = static_cast<BlockSum>(random() % 3);
    out.fused = random() % 2;
    out.line = random() % 2;
    return out;
  }

  // The f32 additions on the longest path.
  int sum(size_t columns) const {
    const size_t subs = columns / static_cast<size_t>(sub_block), own = (subs + lanes - 1) / lanes;
    const int of_block = !minima || block_sum == BlockSum::exact ? 0
                         : block_sum == BlockSum::line           ? sub_block - 1
                                                       : std::countr_zero(static_cast<unsigned>(sub_block));
    const size_t of_lanes = line ? lanes - 1 : static_cast<size_t>(std::countr_zero(lanes));
    return of_block + static_cast<int>((minima ? 2 * own : own) + of_lanes);
  }
  std::vector<size_t> of_lane(size_t lane, size_t subs) const {
    std::vector<size_t> out;
    const size_t own = (subs + lanes - 1) / lanes;
    for (size_t i = 0; i < own; ++i) {
      const size_t b = contiguous ? lane * own + i : lane + i * lanes;
      if (b < subs) out.push_back(b);
    }
    if (backwards) std::reverse(out.begin(), out.end());
    return out;
  }
};

inline float sum_of(std::vector<float> terms, bool line) {
  if (line) {
    float sum = terms[0];
    for (size_t i = 1; i < terms.size(); ++i) sum += terms[i];
    return sum;
  }
  for (size_t width = terms.size(); width > 1; width /= 2)
    for (size_t i = 0; i < width / 2; ++i) terms[i] += terms[i + width / 2];
  return terms[0];
}

// S in two limbs, as an integer unit of 16 bits might.
inline int64_t integer_sum(const FixedX& x, const PartsRow& w, size_t begin, size_t count) {
  int64_t low = 0, high = 0;
  for (size_t k = begin; k < begin + count; ++k) {
    const auto q = static_cast<int64_t>(w.integers[k]);
    low += q * (x.X[k] & 0xffff);
    high += q * (x.X[k] >> 16);
  }
  return high * 65536 + low;
}

inline float block_sum(const PartsRoute& route, const FixedX& x, size_t begin) {
  const auto first = x.X.begin() + static_cast<std::ptrdiff_t>(begin), last = first + route.sub_block;
  if (route.block_sum != BlockSum::exact)
    return sum_of(std::vector<float>(first, last), route.block_sum == BlockSum::line);
  int64_t sum = 0;
  for (auto at = first; at < last; ++at) sum += *at;
  return static_cast<float>(sum);
}

inline float emulated_product(const PartsRoute& route, const FixedX& x, const PartsRow& w) {
  const auto n = static_cast<size_t>(route.sub_block);
  const auto added = [&](float run, float factor, float term) {
    if (route.fused) return std::fma(factor, term, run);
    const float product = factor * term;
    return run + product;
  };
  std::vector<float> runs(route.lanes, 0.0f);
  for (size_t lane = 0; lane < route.lanes; ++lane) {
    const auto blocks = route.of_lane(lane, w.scales.size());
    float& run = runs[lane];
    for (size_t first = 0; first < blocks.size(); first += route.batch) {
      const size_t end = std::min(blocks.size(), first + route.batch);
      for (size_t i = first; i < end; ++i)
        run = added(run, static_cast<float>(w.scales[blocks[i]]),
                    std::ldexp(static_cast<float>(integer_sum(x, w, blocks[i] * n, n)), -x.p[blocks[i] * n]));
      for (size_t i = first; i < end && route.minima; ++i)
        run = added(run, -static_cast<float>(w.minima[blocks[i]]),
                    std::ldexp(block_sum(route, x, blocks[i] * n), -x.p[blocks[i] * n]));
    }
  }
  return sum_of(runs, route.line);
}

}  // namespace greta::reference
