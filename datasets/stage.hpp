// The stage vocabulary: the one list of what a forward pass of a Llama model can be tapped for.
// To add a stage: one enumerator, one row of the table in stage.cpp; the plan, the taps, the trace and the reports follow.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace greta {

// In the order of the forward pass.
enum class Stage : uint8_t {
  embed,
  attn_norm,
  q, k, v,
  q_rope, k_rope,
  k_cache, v_cache,
  qk, softmax, pv,
  attn_out, wo, attn_residual,
  ffn_norm, ffn_gate, ffn_up, ffn_act, ffn_down, ffn_residual,
  final_norm, logits,
};
inline constexpr int kStageCount = static_cast<int>(Stage::logits) + 1;

// Sizes that a stage's axes take: S tokens in this call, T positions in the cache, D embedding, H and Hkv heads, Dh head size,
// F feed-forward, V vocabulary.
struct StageSizes {
  int64_t S = 0, T = 0, D = 0, H = 0, Hkv = 0, Dh = 0, F = 0, V = 0;
};

struct StageInfo {
  Stage stage;
  std::string_view name;
  std::string_view axes;    // "S,H,T": names of StageSizes members, or "HDh" for H*Dh
  bool per_layer;           // false: embed, final_norm, logits
  std::string_view doc;     // one line
  std::string_view others;  // "GRETA · llama.cpp · Hugging Face" names
};

std::span<const StageInfo> stages();
const StageInfo& info(Stage);
std::string_view name_of(Stage);
Stage parse_stage(std::string_view name);  // Error (usage) with the nearest right name
std::vector<int64_t> shape_of(Stage, const StageSizes&);

}  // namespace greta
