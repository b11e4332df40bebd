// A call of one row: the same stages, a kernel for several. What only a tap reads is stored for a tap alone.
// Tokens and positions come from device memory, so that a captured pass serves every token.
#include "engine/forward.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::Projection;

// The matrix unit takes packed weights faster, and exactly; where a type has no such kernel it is not asked.
kernels::Unit ForwardPass::fused_unit() const {
  return context_.settings.unit == Unit::valu ? kernels::Unit::valu : kernels::Unit::mfma;
}

void ForwardPass::fused_layer(int index) {
  fused_attention_block(index);
  fused_feed_forward(index);
}

void ForwardPass::fused_attention_block(int index) {
  const LayerWeights &w = context_.weights.layers[static_cast<size_t>(index)];
  float *const n = optional_output(Stage::attn_norm, index);
  float *const q = output(Stage::q, index), *const k = output(Stage::k, index),
               *const v = output(Stage::v, index);
  const Projection projections[] = {{w.q->view, q}, {w.k->view, k}, {w.v->view, v}};
  const auto multiplied = kernels::norm_products(stream_, x_, w.attn_norm->f32(), c_.embedding, c_.norm_eps,
                                                 projections, n, fused_unit());
  tap(Stage::attn_norm, index, n, multiplied.norm);
  tap(Stage::q, index, q, multiplied.product);
  tap(Stage::k, index, k, multiplied.product);
  tap(Stage::v, index, v, multiplied.product);

  const float *attended = modes_.fused_attention ? rope_attention(index, q, k, v) : attend(index, q, k, v);
  float *const wo = optional_output(Stage::wo, index), *const residual = output(Stage::attn_residual, index);
  const auto added = kernels::product_add(stream_, w.wo->view, attended, x_, wo, residual, fused_unit());
  tap(Stage::wo, index, wo, added.product);
  tap(Stage::attn_residual, index, residual, added.add);
  x_ = residual;
}

const float *ForwardPass::rope_attention(int index, const float *q, const float *k, const float *v) {
  const auto at = static_cast<size_t>(index);
  void *const keys = context_.cache.keys[at].data(), *const values = context_.cache.values[at].data();
  float *const turned_q = optional_output(Stage::q_rope, index),
               *const turned_k = optional_output(Stage::k_rope, index),
               *const attended = output(Stage::attn_out, index);
  const auto ran = kernels::rope_attention_decode(
      stream_, q, k, v, context_.frequencies.data(), device_positions_, c_.rope_dims, turned_q, turned_k,
      keys, values, modes_.cache, capacity(T_), c_.heads, c_.kv_heads, c_.head_dim, attention_workspace(),
      attended, modes_.decode_unit);
  tap(Stage::q_rope, index, turned_q, ran.q_rope);
  tap(Stage::k_rope, index, turned_k, ran.k_rope);
  tap(Stage::k_cache, index, keys, ran.k_cache);
  tap(Stage::v_cache, index, values, ran.v_cache);
  tap(Stage::attn_out, index, attended, ran.attn_out);
  return attended;
}

void ForwardPass::fused_feed_forward(int index) {
  const LayerWeights &w = context_.weights.layers[static_cast<size_t>(index)];
  float *const n = optional_output(Stage::ffn_norm, index),
               *const gate = optional_output(Stage::ffn_gate, index),
               *const up = optional_output(Stage::ffn_up, index), *const act = output(Stage::ffn_act, index);
  const auto gated = kernels::norm_gate_up(stream_, x_, w.ffn_norm->f32(), c_.embedding, c_.norm_eps,
                                           w.gate->view, w.up->view, n, gate, up, act, fused_unit());
  tap(Stage::ffn_norm, index, n, gated.norm);
  tap(Stage::ffn_gate, index, gate, gated.gate);
  tap(Stage::ffn_up, index, up, gated.up);
  tap(Stage::ffn_act, index, act, gated.act);

  float *const down = optional_output(Stage::ffn_down, index), *const residual =
                                                                   output(Stage::ffn_residual, index);
  const auto added = kernels::product_add(stream_, w.down->view, act, x_, down, residual, fused_unit());
  tap(Stage::ffn_down, index, down, added.product);
  tap(Stage::ffn_residual, index, residual, added.add);
  x_ = residual;
}

void ForwardPass::fused_head() {
  float *const n = optional_output(Stage::final_norm, -1), *const logits = output(Stage::logits, -1);
  const Projection projection[] = {{context_.weights.output->view, logits}};
  const auto ran = kernels::norm_products(stream_, x_, context_.weights.output_norm->f32(), c_.embedding,
                                          c_.norm_eps, projection, n, fused_unit());
  tap(Stage::final_norm, -1, n, ran.norm);
  tap(Stage::logits, -1, logits, ran.product);
  logits_ = logits;
}

}  // namespace greta::engine::inline GRETA_MACHINE
