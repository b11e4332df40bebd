// The Llama hyper-parameters as the engine reads them from the GGUF metadata. reference/ reads them on its
// own, on purpose.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/gguf.hpp"

namespace greta::engine {

struct Config {
  int64_t layers = 0, embedding = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0,
          context = 0, rope_dims = 0;
  float norm_eps = 0;
  double rope_base = 0;
};

// Errors (bad_input): an architecture that is not llama, a missing or absurd key, a scaling that the engine
// does not do.
Config read_config(const GgufFile& file);

// rope_dims/2 frequencies base^(-2i/rope_dims) / factor[i], computed in f64 and rounded once; factors from
// rope_freqs.weight when the file has it (Llama 3.1).
std::vector<float> rope_frequencies(const Config& config, const GgufFile& file);

}  // namespace greta::engine
