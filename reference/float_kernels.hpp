// For tests: correct f32 kernels as plain loops, in the orders of summation that real ones use, and each
// one's contract. Written from the definitions; nothing of the reference's is used but its types.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "datasets/tensor.hpp"

namespace greta::reference {

// A way to add up products: its name, its longest chain of additions, the sum.
struct Summation {
  std::string name;
  std::function<int(int terms)> chain;
  std::function<float(const std::vector<float>& w, const std::vector<float>& x)> dot;
};

inline float pairwise_sum(const float* p, int count) {
  if (count == 0) return 0;
  if (count == 1) return p[0];
  const int half = count / 2;
  return pairwise_sum(p, half) + pairwise_sum(p + half, count - half);
}

// Lane l of `lanes` adds products l, l + lanes, …; then a tree over the lanes.
inline float strided_dot(const std::vector<float>& w, const std::vector<float>& x, int lanes, bool fused) {
  std::vector<float> sums(static_cast<size_t>(lanes), 0.0f);
  for (size_t k = 0; k < w.size(); ++k) {
    float& sum = sums[k % static_cast<size_t>(lanes)];
    sum = fused ? std::fma(w[k], x[k], sum) : sum + w[k] * x[k];
  }
  return pairwise_sum(sums.data(), lanes);
}

// Blocks of 32 summed one by one, then their sums.
inline float blocked_dot(const std::vector<float>& w, const std::vector<float>& x, bool fused) {
  float total = 0;
  for (size_t begin = 0; begin < w.size(); begin += 32) {
    float block = 0;
    for (size_t k = begin; k < std::min(w.size(), begin + 32); ++k)
      block = fused ? std::fma(w[k], x[k], block) : block + w[k] * x[k];
    total += block;
  }
  return total;
}

inline int ceil_log2(int n) { return n <= 1 ? 0 : std::bit_width(static_cast<unsigned>(n - 1)); }

inline const std::vector<Summation>& summations() {
  using V = const std::vector<float>&;
  static const std::vector<Summation> all = {
      {"sequential fused", [](int n) { return n; }, [](V w, V x) { return strided_dot(w, x, 1, true); }},
      {"sequential", [](int n) { return n; }, [](V w, V x) { return strided_dot(w, x, 1, false); }},
      {"pairwise", [](int n) { return ceil_log2(n); },
       [](V w, V x) {
         std::vector<float> p(w.size());
         for (size_t k = 0; k < p.size(); ++k) p[k] = w[k] * x[k];
         return pairwise_sum(p.data(), static_cast<int>(p.size()));
       }},
      {"blocks of 32 fused", [](int n) { return std::min(n, 32) + (n + 31) / 32; },
       [](V w, V x) { return blocked_dot(w, x, true); }},
      {"blocks of 32", [](int n) { return std::min(n, 32) + (n + 31) / 32; },
       [](V w, V x) { return blocked_dot(w, x, false); }},
      {"64 lanes fused", [](int n) { return (n + 63) / 64 + 6; },
       [](V w, V x) { return strided_dot(w, x, 64, true); }},
      {"8 lanes", [](int n) { return (n + 7) / 8 + 3; },
       [](V w, V x) { return strided_dot(w, x, 8, false); }},
  };
  return all;
}

inline float to_f16(float x) { return f16_to_f32(f32_to_f16(x)); }

}  // namespace greta::reference
