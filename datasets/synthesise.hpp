// Synthesises a Llama model as a GGUF file: any shape, any quantisation of llama.cpp's that greta reads, a
// network's statistics, and a byte-level BPE vocabulary with merges. The same options give the same bytes on
// every machine and for every number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace greta {

struct SynthesisOptions {
  std::string preset = "tiny";  // one of synthesis_presets()
  std::string quant = "f32";    // one of synthesis_quants()
  uint64_t seed = 1;
  int threads = 0;  // 0: all cores. Does not change a byte of the file

  // Each one overrides the preset's.
  std::optional<int64_t> layers, embedding, heads, kv_heads;
  std::optional<int64_t> head_dim;  // otherwise embedding / heads when either is overridden
  std::optional<int64_t> feed_forward, vocabulary, context;
  std::optional<float> rope_base, eps;
  std::optional<bool> tied;          // output weight = token embedding
  std::optional<bool> rope_factors;  // a `rope_freqs.weight` tensor, as Llama 3.1 has one
};

// What the options come to.
struct ModelShape {
  int64_t layers, embedding, heads, kv_heads, head_dim, feed_forward, vocabulary, context;
  float rope_base, eps;
  bool tied, rope_factors;
};

const std::vector<std::string>& synthesis_presets();  // tiny, mini, llama3-8b
const std::vector<std::string>& synthesis_quants();   // f32, f16, bf16, q8_0, q4_0, q4_k_m, q6_k

// Errors (usage): an unknown preset or quant (with the nearest right one), a shape that no Llama has.
ModelShape resolve_shape(const SynthesisOptions&);

// Writes the model, a few rows at a time. Errors: as above, and the writer's.
void synthesise(const SynthesisOptions&, const std::string& path);

}  // namespace greta
