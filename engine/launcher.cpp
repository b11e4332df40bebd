#include "engine/launcher.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::Attested;

Attested Launcher::embed(const Site&, EmbedCall c) {
  return kernels::embed(stream_, c.table->view, c.tokens, c.S, c.out);
}
Attested Launcher::norm(const Site&, NormCall c) {
  return kernels::rmsnorm(stream_, c.x, c.weight->f32(), c.rows, c.columns, c.eps, c.out, tuning_);
}
Attested Launcher::product(const Site&, ProductCall c) {
  return kernels::matmul(stream_, c.route, c.w->view, c.x, c.rows, c.out);
}
Attested Launcher::rope(const Site&, RopeCall c) {
  return kernels::rope(stream_, c.x, c.frequency, c.positions, c.S, c.heads, c.head_dim, c.rope_dims, c.out,
                       tuning_);
}
Attested Launcher::write_cache(const Site&, CacheCall& c) {
  return kernels::kv_write(stream_, c.rows, c.S, c.width, c.start, c.cache, c.type);
}
Attested Launcher::scores(const Site&, ScoresCall c) {
  return kernels::qk(stream_, c.q, c.k_cache, c.type, c.S, c.start, c.H, c.Hkv, c.Dh, c.out, tuning_);
}
Attested Launcher::softmax(const Site&, SoftmaxCall c) {
  return kernels::softmax(stream_, c.scores, c.rows, c.columns, c.out, tuning_);
}
Attested Launcher::values(const Site&, ValuesCall c) {
  return kernels::pv(stream_, c.p, c.v_cache, c.type, c.S, c.T, c.H, c.Hkv, c.Dh, c.out, tuning_);
}
Attested Launcher::attend(const Site&, AttendCall c) {
  if (c.S == 1)
    return kernels::attention_decode(stream_, c.q, c.k_cache, c.v_cache, c.type, c.positions, c.capacity, c.H,
                                     c.Hkv, c.Dh, c.workspace, c.out, c.decode_unit);
  return kernels::attention_prefill(stream_, c.tuning, c.operand, c.q, c.k_cache, c.v_cache, c.type, c.S,
                                    c.start, c.H, c.Hkv, c.Dh, c.out);
}
Attested Launcher::add(const Site&, AddCall c) {
  return kernels::add(stream_, c.stream, c.branch, c.count, c.out, tuning_);
}
Attested Launcher::gate(const Site&, GateCall c) {
  return kernels::swiglu(stream_, c.gate, c.up, c.count, c.out, tuning_);
}

}  // namespace greta::engine::inline GRETA_MACHINE
