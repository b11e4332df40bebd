// From float to ggml's tensor types, a row or any whole number of blocks at a time. The results are the same
// bits on every machine: only + − × ÷ √ in a fixed order.
//
// F16, BF16: round to nearest even. Q8_0, Q4_0: the scale from the largest magnitude, as ggml's own reference
// does. Q4_K, Q5_K, Q6_K: a search for the scales (and mins) that make Σ wᵢ·(xᵢ − x̂ᵢ)² small, with wᵢ = |xᵢ|
// + rms(sub-block): large values matter more, and none is free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "datasets/gguf.hpp"

namespace greta {

// Bytes that `values` values take; `values` is a multiple of the type's block.
int64_t packed_bytes(GgmlType, int64_t values);

// `out` has exactly packed_bytes(type, values.size()) bytes. Errors: a value that is NaN or infinite, or
// beyond what the type's f16 scale can reach (bad_input, naming the index); sizes that do not fit (internal).
void quantise(GgmlType, std::span<const float> values, std::span<std::byte> out);

// wᵢ of one sub-block (32 values for Q4_K and Q5_K, 16 for Q6_K), for those who judge the search.
void k_quant_weights(std::span<const float> values, std::span<float> weights);

}  // namespace greta
