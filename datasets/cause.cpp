#include "datasets/cause.hpp"

#include <algorithm>
#include <array>

#include "datasets/error.hpp"
#include "datasets/message.hpp"
#include "datasets/nearest.hpp"

namespace greta {
namespace {

constexpr std::string_view kProducts = "q k v wo ffn_gate ffn_up ffn_down logits";
constexpr std::string_view kNorms = "attn_norm ffn_norm final_norm";
constexpr std::string_view kTables = "weight";
constexpr std::string_view kFlat = tr_noop(
    "a weight that is not square: for a square one, a transposed load and a column layout are the same");

// W[n, k]: row n, input k of a weight with N rows and K columns. x: a stage's input, y: its output.
constexpr std::array kCauses = std::to_array<Cause>({
    // Weights as the loader unpacks them: the engine's own view of the weight is wrong.
    {"q4_k_nibbles", "swapped", kTables, tr_noop("Q4_K: low and high nibble of each byte exchanged"),
     tr_noop("loaders written from the header file alone"), tr_noop("Q4_K weights")},
    {"q4_k_nibbles", "interleaved", kTables,
     tr_noop("Q4_K: value 2i of each 64 from the low, 2i+1 from the high nibble of byte i (sub-block scales "
             "stay with the value's place)"),
     tr_noop("loaders that take Q4_K for a plain stream of nibbles"), tr_noop("Q4_K weights")},
    {"q4_k_scales", "linear", kTables,
     tr_noop("Q4_K: the 12 scale bytes read as a little-endian stream of sixteen 6-bit numbers, eight "
             "scales, then eight mins"),
     tr_noop("the engine of the B3 reports: weights correlated 0.02 with the true ones"),
     tr_noop("Q4_K weights")},
    {"q4_k_scales", "low_bits", kTables,
     tr_noop("Q4_K: the upper two bits of scale and min of sub-blocks 4 to 7 left out"),
     tr_noop("a first port of the 6-bit packing"), tr_noop("Q4_K weights with scales of 16 and more")},
    {"q4_k_min", "added", kTables, tr_noop("Q4_K: d·sc·q + dmin·m instead of the difference"),
     tr_noop("a sign lost in a rewrite"), tr_noop("Q4_K weights")},
    {"q4_k_min", "left_out", kTables, tr_noop("Q4_K: d·sc·q, the minimum never subtracted"),
     tr_noop("Q4_K taken for Q4_0 with scales"), tr_noop("Q4_K weights")},
    {"q6_k_high_bits", "dropped", kTables,
     tr_noop("Q6_K: the two high bits taken as 0 (the offset of 32 stays)"),
     tr_noop("the engine of the B3 reports"), tr_noop("Q6_K weights")},
    {"q6_k_offset", "left_out", kTables, tr_noop("Q6_K: the offset of 32 not subtracted"),
     tr_noop("a port from an unsigned format"), tr_noop("Q6_K weights")},
    {"block_scale", "neighbour", kTables,
     tr_noop("Q4_K, Q6_K, Q8_0, Q4_0: d (and dmin) of the next block of the row; the row's last block takes "
             "the first's"),
     tr_noop("an index of a block off by one"), tr_noop("rows of two blocks or more")},
    {"load_layout", "transposed", kTables,
     tr_noop("the weight's transpose stored row after row in the weight's place: W'[n, k] is element n·K + k "
             "of Wᵀ written flat"),
     tr_noop("the engine of the B3 reports, K and V"), kFlat},

    // Matrix products that read a right weight wrongly.
    {"weight_layout", "col", "embed q k v wo ffn_gate ffn_up ffn_down logits",
     tr_noop("the weight read by column: W'[n, k] is element k·N + n of the flat weight (embed: row t is "
             "elements t + d·V, d < D)"),
     tr_noop("B3.33's conclusion on Q"), kFlat},
    {"weight_layer", "next", "attn_norm q k v wo ffn_norm ffn_gate ffn_up ffn_down",
     tr_noop("the same weight of the next layer (of the last layer: the first)"),
     tr_noop("a layer counter raised too early"), tr_noop("more than one layer")},
    {"weight_layer", "previous", "attn_norm q k v wo ffn_norm ffn_gate ffn_up ffn_down",
     tr_noop("the same weight of the layer before (of the first layer: the last)"),
     tr_noop("a layer counter raised too late"),
     tr_noop("more than two layers, else it is the next one too")},
    {"kv_weights", "swapped", "k v", tr_noop("k multiplied with W_v, v with W_k"),
     tr_noop("a table of tensors in another order"), tr_noop("weights of k and v that differ")},
    {"gate_up_weights", "swapped", "ffn_gate ffn_up", tr_noop("gate multiplied with W_up, up with W_gate"),
     tr_noop("w1 and w3 of the original checkpoints"), tr_noop("weights that differ")},
    {"head_scale", "applied", "q k v",
     tr_noop("head h of y multiplied by 1 + h/8 (any factor per head, none the same in all heads, counts)"),
     tr_noop("the engine of the B3 reports: per-head scales of another format"),
     tr_noop("two heads or more")},
    {"tile_store", "transposed", kProducts,
     tr_noop("each full 16×16 tile of y [S, N] stored transposed; tiles at the edges that are not full "
             "stored as they are"),
     tr_noop("B3.33's engine above 32 rows: a fragment's lane table read by columns"),
     tr_noop("16 rows or more")},
    {"tail", "rows_left_out", kProducts, tr_noop("rows of y beyond the last multiple of 16 never written"),
     tr_noop("GEMMs that divide by the tile and round down"),
     tr_noop("a number of rows that 16 does not divide")},
    {"tail", "terms_left_out", kProducts, tr_noop("the last 16 terms of each sum left out"),
     tr_noop("loops over K that stop a tile early"), tr_noop("any data")},
    {"half_sum", "f16", kProducts,
     tr_noop("the first half (rounded down) of the K terms summed in f16, one after another (s = f16(s + "
             "w·x) from s = 0, w and x as the contract rounds them), the rest added to it in f32"),
     tr_noop("accumulators of a half-precision fragment"), tr_noop("large sums")},

    // RoPE.
    {"rope_pairs", "halves", "q_rope k_rope",
     tr_noop("dims (i, i + rope_dims/2) turned instead of (2i, 2i + 1)"),
     tr_noop("GGUF weights, permuted for interleaved pairs, under Hugging Face's rotate-half; the engine of "
             "the B3 reports"),
     tr_noop("positions above 0")},
    {"rope_position", "+1", "q_rope k_rope", tr_noop("positions one too high"),
     tr_noop("a counter raised before its use"), tr_noop("any position")},
    {"rope_position", "-1", "q_rope k_rope", tr_noop("positions one too low (position 0: -1)"),
     tr_noop("a counter raised after its use"), tr_noop("any position")},
    {"rope_base", "10000", "q_rope k_rope", tr_noop("frequencies of base 10000 (factors of the file stay)"),
     tr_noop("Llama 2's base under a Llama 3 model"), tr_noop("a model of another base; positions above 0")},
    {"rope", "left_out", "q_rope k_rope", tr_noop("not turned at all"), tr_noop("RoPE applied to Q alone"),
     tr_noop("positions above 0")},
    {"rope", "twice", "q_rope k_rope", tr_noop("turned twice"),
     tr_noop("a fused projection and a separate kernel"), tr_noop("positions above 0")},
    {"rope_direction", "reversed", "q_rope k_rope", tr_noop("turned by minus the angle"),
     tr_noop("a sign of the sine"), tr_noop("positions above 0")},

    // Attention.
    {"qk_scale", "left_out", "qk", tr_noop("not multiplied by 1/sqrt(Dh)"),
     tr_noop("llama.cpp's own kq is unscaled"), tr_noop("Dh other than 1")},
    {"qk_scale", "squared", "qk", tr_noop("multiplied by 1/Dh"),
     tr_noop("scaled in Q and again in the kernel"), tr_noop("Dh other than 1")},
    {"kv_head", "modulo", "qk pv", tr_noop("head h reads KV head h mod Hkv instead of h / (H/Hkv)"),
     tr_noop("GQA repeated in another order"),
     tr_noop("more than one KV head, and more heads than KV heads")},
    {"mask", "one_ahead", "qk", tr_noop("a token sees the one after it, too"), tr_noop("t <= position + 1"),
     tr_noop("two rows or more")},
    {"mask", "one_behind", "qk", tr_noop("a token does not see itself (position 0 sees nothing)"),
     tr_noop("t < position"), tr_noop("any data")},
    {"mask", "left_out", "qk", tr_noop("every token sees every position"),
     tr_noop("a mask buffer that was never filled"),
     tr_noop("two rows or more; with two rows it is one_ahead, too")},
    {"window", "64", "qk pv",
     tr_noop("only positions below 64 are read (qk: the others -inf; pv: left out of the sum)"),
     tr_noop("B3.25's instrument: 64 keys against full-length weights"), tr_noop("more than 64 positions")},
    {"softmax_base", "2", "softmax", tr_noop("2^(x - max) instead of e^(x - max)"),
     tr_noop("exp2 without log2(e)"), tr_noop("scores that differ")},
    {"softmax_sum", "one_short", "softmax",
     tr_noop("the term of position T - 1 left out of the sum that divides (rows that do not see it stay "
             "right; T = 1: 1/0)"),
     tr_noop("a loop that stops one short"), tr_noop("any data; in a prompt its last row alone")},
    {"softmax_max", "not_subtracted", "softmax", tr_noop("e^x / Σ e^x without subtracting the maximum"),
     tr_noop("a port from a paper's formula"),
     tr_noop("a score above 88.7, where e^x overflows: below it the values are right")},
    {"cache_layout", "col", "v_cache",
     tr_noop("V read by column: element (t, i) is element i·T + t of what was written row after row"),
     tr_noop("B3.25's conclusion on V"), tr_noop("two positions or more")},
    {"layer_base", "0", "k_cache v_cache", tr_noop("every layer reads layer 0's cache"),
     tr_noop("the engine of the B3 reports, in decode"), tr_noop("a layer other than 0")},
    {"cache_row", "stale", "k_cache v_cache", tr_noop("the newest row holds what the row before it holds"),
     tr_noop("a write that comes after attention's read"), tr_noop("two positions or more")},
    {"cache_row", "never_written", "k_cache v_cache",
     tr_noop("the newest row is never written (NaN in fresh memory)"),
     tr_noop("a length that counts one row less"), tr_noop("any data")},
    {"cache_position", "+1", "k_cache v_cache",
     tr_noop("rows of this call written one position too high; the first of them never written, the last one "
             "lost"),
     tr_noop("a position raised before the write"),
     tr_noop("two rows or more in the call, else it is cache_row=never_written")},
    {"cache_position", "-1", "k_cache v_cache",
     tr_noop("rows of this call written one position too low; the last of them never written, the one before "
             "the call overwritten"),
     tr_noop("a position raised too late"), tr_noop("any data")},

    // Norms.
    {"norm_weight", "left_out", kNorms, tr_noop("x / rms without the weight"),
     tr_noop("a norm fused into a product that lost its gain"), tr_noop("weights other than 1")},
    {"norm_weight", "plus_one", kNorms, tr_noop("x / rms · (1 + w)"), tr_noop("Gemma's convention"),
     tr_noop("any data")},
    {"norm_mean", "subtracted", kNorms, tr_noop("LayerNorm: the mean subtracted, the variance about it"),
     tr_noop("LayerNorm's kernel"), tr_noop("a mean other than 0")},
    {"norm_eps", "left_out", kNorms, tr_noop("no eps"), tr_noop("an argument that is never passed"),
     tr_noop("rows whose mean square is not far above eps")},
    {"norm_eps", "1e-6", kNorms, tr_noop("eps = 1e-6 whatever the model says"),
     tr_noop("a default of another model"),
     tr_noop("a model of another eps; rows whose mean square is not far above it")},
    {"norm_eps", "outside_root", kNorms, tr_noop("x / (sqrt(mean(x²)) + eps)"),
     tr_noop("eps where other norms have it"), tr_noop("rows whose mean square is not far above eps")},

    // Feed-forward, residuals, embedding, head.
    {"gate_up", "swapped", "ffn_act", tr_noop("gate · silu(up)"),
     tr_noop("the two halves of a fused product in the other order"), tr_noop("any data")},
    {"activation", "gelu", "ffn_act", tr_noop("gate·Φ(gate)·up, Φ by erf"),
     tr_noop("another family's activation"), tr_noop("gates of either sign")},
    {"activation", "gelu_tanh", "ffn_act", tr_noop("GELU by its tanh formula instead of SiLU"),
     tr_noop("another family's activation"), tr_noop("gates of either sign")},
    {"residual", "left_out", "attn_residual ffn_residual", tr_noop("the branch alone, the stream not added"),
     tr_noop("an output pointer that is not the stream"), tr_noop("any data")},
    {"residual", "twice", "attn_residual ffn_residual", tr_noop("the stream added twice: 2x + branch"),
     tr_noop("a fused add and a separate one"), tr_noop("any data")},
    {"residual", "branch_left_out", "attn_residual ffn_residual",
     tr_noop("the stream alone, the branch not added"), tr_noop("an add that never ran"),
     tr_noop("any data")},
    {"embed_token", "next", "embed", tr_noop("row token + 1 (of the last token: row 0)"),
     tr_noop("ids counted from 1"), tr_noop("any data")},
    {"embed_row", "zeroed", "embed", tr_noop("zeros instead of the token's row"),
     tr_noop("decode's input never copied"), tr_noop("any data")},
    {"logits_row", "previous", "logits",
     tr_noop("row s computed from final_norm's row s - 1 (row 0 from row 0)"),
     tr_noop("the last row of a padded batch"), tr_noop("two rows or more")},

    // The machine.
    {"barrier", "missing", kNorms,
     tr_noop("the barrier between a row's partial sums and their total left out: what a lane adds up depends "
             "on who ran first"),
     tr_noop("shared-memory reductions"), tr_noop("a repeat with lanes in another order")},
    {"host_copy", "not_awaited", "logits",
     tr_noop("the logits handed to the caller before the copy from the device has finished"),
     tr_noop("hipMemcpyAsync from pinned memory without hipStreamSynchronize"),
     tr_noop("logits tapped on the device beside those that the caller got")},
    {"route_flag", "ignored", "",
     tr_noop("the route that an arm forces never reaches the dispatcher: the engine chooses for itself"),
     tr_noop("the engine of the B3.31 report: five arms, one kernel; a control (route) refuses it, no probe"),
     tr_noop("an arm that forces another route than the automatic choice")},
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
