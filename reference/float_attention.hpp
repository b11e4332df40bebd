// For tests: fused attention in plain f32 loops: tiles with a running maximum, in one part (flash) or several
// (split-K), and its contract. Written from the formula; nothing of the reference's is used but its types.
#pragma once

#include <string>

#include "reference/float_llama.hpp"
#include "reference/unit_emulation.hpp"

namespace greta::reference {

struct FusedKernel {
  Rounding operands = Rounding::f32, p = Rounding::f32;
  Unit unit = Unit::ieee;
  int64_t tile = 32, parts = 1;
  bool base_2 = false;     // the scale with log2 e in it, exp2 and a fused difference
  bool backwards = false;  // tiles from the last to the first

  std::string contract(int64_t T, int64_t head_dim) const;
};

// What a test may have go wrong: which positions are seen, which KV head is read.
struct FusedFault {
  int mask_shift = 0;
  bool no_mask = false, no_scale = false, modulo = false, exp2_alone = false, short_sum = false;
  int64_t window = -1;
};

// q [S, H·Dh] at positions start, start + 1, …; keys and values [T, Hkv·Dh]; out [S, H·Dh].
FloatMatrix fused_attention(const FusedKernel& kernel, const Config& config, int64_t start,
                            const FloatMatrix& q, const FloatMatrix& keys, const FloatMatrix& values,
                            const FusedFault& fault = {});

}  // namespace greta::reference
