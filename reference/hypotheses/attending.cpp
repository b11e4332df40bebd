// Attention: scores, weights, the sum of values.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

Message idle_scale(const Request& in) {
  return in.config().head_dim > 1 ? Message{} : say("a head has one dim");
}
Message idle_modulo(const Request& in) {
  const auto& config = in.config();
  if (config.kv_heads == 1) return say("there is one KV head");
  return config.kv_heads == config.heads ? say("each head has a KV head of its own") : Message{};
}
Message idle_ahead(const Request& in) {
  return in.call.S() > 1 ? Message{} : say("no position is ahead of the token");
}
Message idle_window(const Request& in) {
  return in.call.T() > 64 ? Message{} : say("there are no more than 64 positions");
}

constexpr std::array<Hypothesis, 10> kTable = {{
    {"qk_scale=left_out", kScale, [](Variant& v) { v.qk_scale = QkScale::none; }, idle_scale},
    {"qk_scale=squared", kScale, [](Variant& v) { v.qk_scale = QkScale::squared; }, idle_scale},
    {"kv_head=modulo", kHeads, [](Variant& v) { v.kv_head_modulo = true; }, idle_modulo},
    {"mask=one_ahead", kMask, [](Variant& v) { v.mask_shift = 1; }, idle_ahead},
    {"mask=one_behind", kMask, [](Variant& v) { v.mask_shift = -1; }},
    {"mask=left_out", kMask, [](Variant& v) { v.mask_shift.reset(); }, idle_ahead},
    {"window=64", kWindow, [](Variant& v) { v.window = 64; }, idle_window},
    {"softmax_base=2", kBase, [](Variant& v) { v.softmax_base_2 = true; }},
    {"softmax_sum=one_short", kSum, [](Variant& v) { v.softmax_sum_short = true; }},
    {"softmax_max=not_subtracted", kMaximum, [](Variant& v) { v.softmax_keeps_max = true; }},
}};

}  // namespace

std::span<const Hypothesis> attention_hypotheses() { return kTable; }

}  // namespace greta::reference
