#include "datasets/cause.hpp"

#include <algorithm>
#include <array>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta {
namespace {

constexpr std::string_view kProducts = "q k v wo ffn_gate ffn_up ffn_down logits";
constexpr std::string_view kNorms = "attn_norm ffn_norm final_norm";
constexpr std::string_view kTables = "weight";
constexpr std::string_view kFlat =
    "a weight that is not square: for a square one, a transposed load and a column layout are the same";

// W[n, k]: row n, input k of a weight with N rows and K columns. x: a stage's input, y: its output.
constexpr std::array kCauses = std::to_array<Cause>({
    // Weights as the loader unpacks them: the engine's own view of the weight is wrong.
    {"q4_k_nibbles", "swapped", kTables, "Q4_K: low and high nibble of each byte exchanged",
     "loaders written from the header file alone", "Q4_K weights"},
    {"q4_k_nibbles", "interleaved", kTables,
     "Q4_K: value 2i of each 64 from the low, 2i+1 from the high nibble of byte i (sub-block scales stay "
     "with the "
     "value's place)",
     "loaders that take Q4_K for a plain stream of nibbles", "Q4_K weights"},
    {"q4_k_scales", "linear", kTables,
     "Q4_K: the 12 scale bytes read as a little-endian stream of sixteen 6-bit numbers, eight scales, then "
     "eight mins",
     "the engine of the B3 reports: weights correlated 0.02 with the true ones", "Q4_K weights"},
    {"q4_k_scales", "low_bits", kTables,
     "Q4_K: the upper two bits of scale and min of sub-blocks 4 to 7 left out",
     "a first port of the 6-bit packing", "Q4_K weights with scales of 16 and more"},
    {"q4_k_min", "added", kTables, "Q4_K: d·sc·q + dmin·m instead of the difference",
     "a sign lost in a rewrite", "Q4_K weights"},
    {"q4_k_min", "left_out", kTables, "Q4_K: d·sc·q, the minimum never subtracted",
     "Q4_K taken for Q4_0 with scales", "Q4_K weights"},
    {"q6_k_high_bits", "dropped", kTables, "Q6_K: the two high bits taken as 0 (the offset of 32 stays)",
     "the engine of the B3 reports", "Q6_K weights"},
    {"q6_k_offset", "left_out", kTables, "Q6_K: the offset of 32 not subtracted",
     "a port from an unsigned format", "Q6_K weights"},
    {"block_scale", "neighbour", kTables,
     "Q4_K, Q6_K, Q8_0, Q4_0: d (and dmin) of the next block of the row; the row's last block takes the "
     "first's",
     "an index of a block off by one", "rows of two blocks or more"},
    {"load_layout", "transposed", kTables,
     "the weight's transpose stored row after row in the weight's place: W'[n, k] is element n·K + k of Wᵀ "
     "written "
     "flat",
     "the engine of the B3 reports, K and V", kFlat},

    // Matrix products that read a right weight wrongly.
    {"weight_layout", "col", "embed q k v wo ffn_gate ffn_up ffn_down logits",
     "the weight read by column: W'[n, k] is element k·N + n of the flat weight (embed: row t is elements t "
     "+ d·V, d < "
     "D)",
     "B3.33's conclusion on Q", kFlat},
    {"weight_layer", "next", "attn_norm q k v wo ffn_norm ffn_gate ffn_up ffn_down",
     "the same weight of the next layer (of the last layer: the first)", "a layer counter raised too early",
     "more than one layer"},
    {"weight_layer", "previous", "attn_norm q k v wo ffn_norm ffn_gate ffn_up ffn_down",
     "the same weight of the layer before (of the first layer: the last)", "a layer counter raised too late",
     "more than two layers, else it is the next one too"},
    {"kv_weights", "swapped", "k v", "k multiplied with W_v, v with W_k",
     "a table of tensors in another order", "weights of k and v that differ"},
    {"gate_up_weights", "swapped", "ffn_gate ffn_up", "gate multiplied with W_up, up with W_gate",
     "w1 and w3 of the original checkpoints", "weights that differ"},
    {"head_scale", "applied", "q k v",
     "head h of y multiplied by 1 + h/8 (any factor per head, none the same in all heads, counts)",
     "the engine of the B3 reports: per-head scales of another format", "two heads or more"},
    {"tile_store", "transposed", kProducts,
     "each full 16×16 tile of y [S, N] stored transposed; tiles at the edges that are not full stored as "
     "they are",
     "B3.33's engine above 32 rows: a fragment's lane table read by columns", "16 rows or more"},
    {"tail", "rows_left_out", kProducts, "rows of y beyond the last multiple of 16 never written",
     "GEMMs that divide by the tile and round down", "a number of rows that 16 does not divide"},
    {"tail", "terms_left_out", kProducts, "the last 16 terms of each sum left out",
     "loops over K that stop a tile early", "any data"},
    {"half_sum", "f16", kProducts,
     "the first half (rounded down) of the K terms summed in f16, one after another (s = f16(s + w·x) from s "
     "= 0, w and x "
     "as the contract rounds them), the rest added to it in f32",
     "accumulators of a half-precision fragment", "large sums"},

    // RoPE.
    {"rope_pairs", "halves", "q_rope k_rope", "dims (i, i + rope_dims/2) turned instead of (2i, 2i + 1)",
     "GGUF weights, permuted for interleaved pairs, under Hugging Face's rotate-half; the engine of the B3 "
     "reports",
     "positions above 0"},
    {"rope_position", "+1", "q_rope k_rope", "positions one too high", "a counter raised before its use",
     "any position"},
    {"rope_position", "-1", "q_rope k_rope", "positions one too low (position 0: -1)",
     "a counter raised after its use", "any position"},
    {"rope_base", "10000", "q_rope k_rope", "frequencies of base 10000 (factors of the file stay)",
     "Llama 2's base under a Llama 3 model", "a model of another base; positions above 0"},
    {"rope", "left_out", "q_rope k_rope", "not turned at all", "RoPE applied to Q alone",
     "positions above 0"},
    {"rope", "twice", "q_rope k_rope", "turned twice", "a fused projection and a separate kernel",
     "positions above 0"},
    {"rope_direction", "reversed", "q_rope k_rope", "turned by minus the angle", "a sign of the sine",
     "positions above 0"},

    // Attention.
    {"qk_scale", "left_out", "qk", "not multiplied by 1/sqrt(Dh)", "llama.cpp's own kq is unscaled",
     "Dh other than 1"},
    {"qk_scale", "squared", "qk", "multiplied by 1/Dh", "scaled in Q and again in the kernel",
     "Dh other than 1"},
    {"kv_head", "modulo", "qk pv", "head h reads KV head h mod Hkv instead of h / (H/Hkv)",
     "GQA repeated in another order", "more than one KV head, and more heads than KV heads"},
    {"mask", "one_ahead", "qk", "a token sees the one after it, too", "t <= position + 1",
     "two rows or more"},
    {"mask", "one_behind", "qk", "a token does not see itself (position 0 sees nothing)", "t < position",
     "any data"},
    {"mask", "left_out", "qk", "every token sees every position", "a mask buffer that was never filled",
     "two rows or more; with two rows it is one_ahead, too"},
    {"window", "64", "qk pv",
     "only positions below 64 are read (qk: the others -inf; pv: left out of the sum)",
     "B3.25's instrument: 64 keys against full-length weights", "more than 64 positions"},
    {"softmax_base", "2", "softmax", "2^(x - max) instead of e^(x - max)", "exp2 without log2(e)",
     "scores that differ"},
    {"softmax_sum", "one_short", "softmax",
     "the term of position T - 1 left out of the sum that divides (rows that do not see it stay right; T = "
     "1: 1/0)",
     "a loop that stops one short", "any data; in a prompt its last row alone"},
    {"softmax_max", "not_subtracted", "softmax", "e^x / Σ e^x without subtracting the maximum",
     "a port from a paper's formula",
     "a score above 88.7, where e^x overflows: below it the values are right"},
    {"cache_layout", "col", "v_cache",
     "V read by column: element (t, i) is element i·T + t of what was written row after row",
     "B3.25's conclusion on V", "two positions or more"},
    {"layer_base", "0", "k_cache v_cache", "every layer reads layer 0's cache",
     "the engine of the B3 reports, in decode", "a layer other than 0"},
    {"cache_row", "stale", "k_cache v_cache", "the newest row holds what the row before it holds",
     "a write that comes after attention's read", "two positions or more"},
    {"cache_row", "never_written", "k_cache v_cache", "the newest row is never written (NaN in fresh memory)",
     "a length that counts one row less", "any data"},
    {"cache_position", "+1", "k_cache v_cache",
     "rows of this call written one position too high; the first of them never "
     "written, the last one lost",
     "a position raised before the write",
     "two rows or more in the call, else it is cache_row=never_written"},
    {"cache_position", "-1", "k_cache v_cache",
     "rows of this call written one position too low; the last of them never "
     "written, the one before the call overwritten",
     "a position raised too late", "any data"},

    // Norms.
    {"norm_weight", "left_out", kNorms, "x / rms without the weight",
     "a norm fused into a product that lost its gain", "weights other than 1"},
    {"norm_weight", "plus_one", kNorms, "x / rms · (1 + w)", "Gemma's convention", "any data"},
    {"norm_mean", "subtracted", kNorms, "LayerNorm: the mean subtracted, the variance about it",
     "LayerNorm's kernel", "a mean other than 0"},
    {"norm_eps", "left_out", kNorms, "no eps", "an argument that is never passed",
     "rows whose mean square is not far above eps"},
    {"norm_eps", "1e-6", kNorms, "eps = 1e-6 whatever the model says", "a default of another model",
     "a model of another eps; rows whose mean square is not far above it"},
    {"norm_eps", "outside_root", kNorms, "x / (sqrt(mean(x²)) + eps)", "eps where other norms have it",
     "rows whose mean square is not far above eps"},

    // Feed-forward, residuals, embedding, head.
    {"gate_up", "swapped", "ffn_act", "gate · silu(up)",
     "the two halves of a fused product in the other order", "any data"},
    {"activation", "gelu", "ffn_act", "gate·Φ(gate)·up, Φ by erf", "another family's activation",
     "gates of either sign"},
    {"activation", "gelu_tanh", "ffn_act", "GELU by its tanh formula instead of SiLU",
     "another family's activation", "gates of either sign"},
    {"residual", "left_out", "attn_residual ffn_residual", "the branch alone, the stream not added",
     "an output pointer that is not the stream", "any data"},
    {"residual", "twice", "attn_residual ffn_residual", "the stream added twice: 2x + branch",
     "a fused add and a separate one", "any data"},
    {"residual", "branch_left_out", "attn_residual ffn_residual", "the stream alone, the branch not added",
     "an add that never ran", "any data"},
    {"embed_token", "next", "embed", "row token + 1 (of the last token: row 0)", "ids counted from 1",
     "any data"},
    {"embed_row", "zeroed", "embed", "zeros instead of the token's row", "decode's input never copied",
     "any data"},
    {"logits_row", "previous", "logits", "row s computed from final_norm's row s - 1 (row 0 from row 0)",
     "the last row of a padded batch", "two rows or more"},

    // The machine.
    {"barrier", "missing", kNorms,
     "the barrier between a row's partial sums and their total left out: what a lane adds up depends on who "
     "ran first",
     "shared-memory reductions", "a repeat with lanes in another order"},
    {"host_copy", "not_awaited", "logits",
     "the logits handed to the caller before the copy from the device has finished",
     "hipMemcpyAsync from pinned memory without hipStreamSynchronize",
     "logits tapped on the device beside those that the caller got"},
    {"route_flag", "ignored", "",
     "the route that an arm forces never reaches the dispatcher: the engine chooses for itself",
     "the engine of the B3.31 report: five arms, one kernel; a control (route) refuses it, no probe",
     "an arm that forces another route than the automatic choice"},
});

}  // namespace

std::string Cause::text() const { return std::string(name) + "=" + std::string(value); }

bool Cause::breaks(Stage stage) const {
  const std::string padded = " " + std::string(stages) + " ";
  return padded.find(" " + std::string(name_of(stage)) + " ") != std::string::npos;
}

bool Cause::breaks_weights() const { return stages == kTables; }

std::span<const Cause> causes() { return kCauses; }

const Cause& find_cause(std::string_view text) {
  std::vector<std::string> known;
  for (const Cause& cause : kCauses) {
    if (cause.text() == text) return cause;
    known.push_back(cause.text());
  }
  fail_usage("{}", unknown_name("cause", text, known));
}

}  // namespace greta
