#include "datasets/stage.hpp"

#include <array>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta {
namespace {

constexpr std::array<StageInfo, kStageCount> kStages = {{
    {Stage::embed, "embed", "S,D", false, "token embedding rows", "embed_out · inp_embd · model.embed_tokens"},
    {Stage::attn_norm, "attn_norm", "S,D", true, "RMSNorm before attention",
     "attn_norm_out, norm_out · attn_norm-L · input_layernorm"},
    {Stage::q, "q", "S,H,Dh", true, "query projection, before RoPE", "q · Qcur-L · self_attn.q_proj"},
    {Stage::k, "k", "S,Hkv,Dh", true, "key projection, before RoPE", "k · Kcur-L · self_attn.k_proj"},
    {Stage::v, "v", "S,Hkv,Dh", true, "value projection", "v · Vcur-L · self_attn.v_proj"},
    {Stage::q_rope, "q_rope", "S,H,Dh", true, "query after RoPE", "— · Qcur-L (second) · —"},
    {Stage::k_rope, "k_rope", "S,Hkv,Dh", true, "key after RoPE", "— · Kcur-L (second) · —"},
    {Stage::k_cache, "k_cache", "T,Hkv,Dh", true, "keys that attention will read", ""},
    {Stage::v_cache, "v_cache", "T,Hkv,Dh", true, "values that attention will read", ""},
    {Stage::qk, "qk", "S,H,T", true, "scores, scaled by 1/sqrt(Dh) and masked with -inf", "qk · kq-L · —"},
    {Stage::softmax, "softmax", "S,H,T", true, "attention weights", "softmax · kq_soft_max-L · attn_weights"},
    {Stage::pv, "pv", "S,H,Dh", true, "weighted sum of values", "pv · kqv-L · —"},
    {Stage::attn_out, "attn_out", "S,HDh", true, "attention output, from whichever kernel ran, before Wo",
     "attn_out · kqv_out-L · input of o_proj"},
    {Stage::wo, "wo", "S,D", true, "output projection", "wo_out · attn_out-L · self_attn.o_proj"},
    {Stage::attn_residual, "attn_residual", "S,D", true, "residual stream after attention",
     "x_after_attn · ffn_inp-L · —"},
    {Stage::ffn_norm, "ffn_norm", "S,D", true, "RMSNorm before the feed-forward",
     "ffn_norm · ffn_norm-L · post_attention_layernorm"},
    {Stage::ffn_gate, "ffn_gate", "S,F", true, "gate projection", "— · ffn_gate-L · mlp.gate_proj"},
    {Stage::ffn_up, "ffn_up", "S,F", true, "up projection", "— · ffn_up-L · mlp.up_proj"},
    {Stage::ffn_act, "ffn_act", "S,F", true, "silu(gate) * up", "— · ffn_swiglu-L · mlp.act"},
    {Stage::ffn_down, "ffn_down", "S,D", true, "down projection", "mlp_out · ffn_out-L · mlp.down_proj"},
    {Stage::ffn_residual, "ffn_residual", "S,D", true, "residual stream after the layer",
     "x_out · l_out-L · decoder layer output"},
    {Stage::final_norm, "final_norm", "S,D", false, "RMSNorm after the last layer",
     "final_norm · result_norm · model.norm"},
    {Stage::logits, "logits", "S,V", false, "vocabulary scores", "logits · result_output · lm_head"},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < kStages.size(); ++i)
    if (static_cast<size_t>(kStages[i].stage) != i) return false;
  return true;
}
static_assert(in_order(), "the table is indexed by Stage");

int64_t size_of_axis(std::string_view axis, const StageSizes& sizes) {
  if (axis == "S") return sizes.S;
  if (axis == "T") return sizes.T;
  if (axis == "D") return sizes.D;
  if (axis == "H") return sizes.H;
  if (axis == "Hkv") return sizes.Hkv;
  if (axis == "Dh") return sizes.Dh;
  if (axis == "HDh") return sizes.H * sizes.Dh;
  if (axis == "F") return sizes.F;
  return sizes.V;
}

}  // namespace

std::span<const StageInfo> stages() { return kStages; }
const StageInfo& info(Stage stage) { return kStages[static_cast<size_t>(stage)]; }
std::string_view name_of(Stage stage) { return info(stage).name; }

Stage parse_stage(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& row : kStages) {
    if (row.name == name) return row.stage;
    names.emplace_back(row.name);
  }
  throw Error(ExitCode::usage, unknown_name("stage", name, names));
}

std::vector<int64_t> shape_of(Stage stage, const StageSizes& sizes) {
  std::vector<int64_t> shape;
  std::string_view rest = info(stage).axes;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    shape.push_back(size_of_axis(rest.substr(0, comma), sizes));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return shape;
}

}  // namespace greta
