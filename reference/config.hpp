// The hyper-parameters of a Llama model and the tensors that it must have, from the GGUF metadata.
#pragma once

#include "reference/reference.hpp"

namespace greta::reference {

// Errors (bad_input): another architecture, a missing key, sizes that do not fit each other, a tensor that is
// missing or of another shape.
Config read_config(const GgufFile& file);

std::string layer_weight(int layer, std::string_view part);  // "blk.3.attn_q.weight"

// RoPE's frequencies in float64: base^(-2i/rope_dims) / factor_i, i < rope_dims/2.
std::vector<double> rope_frequencies(const Config& config);

}  // namespace greta::reference
