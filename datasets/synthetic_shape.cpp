// Presets, overrides and their checks.
#include <algorithm>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "datasets/synthesise.hpp"

namespace greta {
namespace {

ModelShape preset_shape(const std::string& name) {
  //                          L   D     H   Hkv Dh   F      V       context rope base  eps    tied  factors
  if (name == "tiny") return {2, 256, 8, 2, 32, 512, 517, 256, 500000.0f, 1e-5f, false, false};
  if (name == "mini") return {6, 256, 8, 2, 32, 768, 3001, 512, 500000.0f, 1e-5f, false, false};
  if (name == "llama3-8b") return {32, 4096, 32, 8, 128, 14336, 128256, 8192, 500000.0f, 1e-5f, false, false};
  fail_usage("{}", unknown_name("preset", name, synthesis_presets()));
}

void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    fail_usage("a model with {} {} cannot be made; {} must be from {} to {}", name, value, name, least, most);
}

void check(const ModelShape& shape) {
  check_range("layers", shape.layers, 1, 1000);
  check_range("embedding", shape.embedding, 16, 1 << 16);
  check_range("heads", shape.heads, 1, 1024);
  check_range("kv_heads", shape.kv_heads, 1, shape.heads);
  check_range("head_dim", shape.head_dim, 4, 1024);
  check_range("feed_forward", shape.feed_forward, 1, 1 << 18);
  check_range("vocabulary", shape.vocabulary, 261, 1 << 20);
  check_range("context", shape.context, 1, 1 << 24);
  if (shape.heads % shape.kv_heads != 0)
    fail_usage("{} heads cannot share {} kv_heads evenly; choose kv_heads that divide heads", shape.heads,
               shape.kv_heads);
  if (shape.head_dim % 2 != 0)
    fail_usage("head_dim {} is odd, and RoPE rotates pairs; choose an even head_dim", shape.head_dim);
  if (!(shape.rope_base > 1.0f && shape.rope_base <= 1e12f))
    fail_usage("rope_base {} is not above 1 and at most 1e12", shape.rope_base);
  if (!(shape.eps >= 0.0f && shape.eps < 1.0f)) fail_usage("eps {} is not from 0 to 1", shape.eps);
}

}  // namespace

const std::vector<std::string>& synthesis_presets() {
  static const std::vector<std::string> names = {"tiny", "mini", "llama3-8b"};
  return names;
}

ModelShape resolve_shape(const SynthesisOptions& options) {
  ModelShape shape = preset_shape(options.preset);
  shape.layers = options.layers.value_or(shape.layers);
  shape.embedding = options.embedding.value_or(shape.embedding);
  shape.heads = options.heads.value_or(shape.heads);
  shape.kv_heads = options.kv_heads.value_or(shape.kv_heads);
  shape.feed_forward = options.feed_forward.value_or(shape.feed_forward);
  shape.vocabulary = options.vocabulary.value_or(shape.vocabulary);
  shape.context = options.context.value_or(shape.context);
  shape.rope_base = options.rope_base.value_or(shape.rope_base);
  shape.eps = options.eps.value_or(shape.eps);
  shape.tied = options.tied.value_or(shape.tied);
  shape.rope_factors = options.rope_factors.value_or(shape.rope_factors);
  if (options.head_dim) {
    shape.head_dim = *options.head_dim;
  } else if (options.embedding || options.heads) {
    if (shape.heads < 1 || shape.embedding % shape.heads != 0)
      fail_usage("embedding {} is not a multiple of {} heads; give head_dim too", shape.embedding,
                 shape.heads);
    shape.head_dim = shape.embedding / shape.heads;
  }
  check(shape);
  return shape;
}

}  // namespace greta
