// Matrix products: another weight, other terms, another place for the result.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

Model::WeightInfo weight_info(const Request& in) { return in.model.weight_info(weight_of(in)); }

Message idle_column(const Request& in) {
  const auto weight = in.model.weight_info(in.stage == Stage::embed ? "token_embd.weight" : weight_of(in));
  return weight.rows > 1 && weight.columns > 1 ? Message{} : say("the weight is a single row or column");
}
Message idle_layer(const Request& in) {
  return in.config().layers > 1 ? Message{} : say("the model has one layer");
}
Message idle_heads(const Request& in) {
  return (in.stage == Stage::q ? in.config().heads : in.config().kv_heads) > 1 ? Message{}
                                                                               : say("there is one head");
}
Message idle_tiles(const Request& in) {
  if (in.call.S() < 16) return say("the call has fewer than 16 rows");
  return weight_info(in).rows < 16 ? say("the result has fewer than 16 columns") : Message{};
}
Message idle_tail(const Request& in) {
  return in.call.S() % 16 == 0 ? say("16 divides the number of rows") : Message{};
}
Message idle_terms(const Request& in) {
  return weight_info(in).columns <= 16 ? say("the sums have no more than 16 terms") : Message{};
}
Message idle_half(const Request& in) {
  return weight_info(in).columns < 2 ? say("the sums have one term") : Message{};
}
Message idle_row(const Request& in) { return in.call.S() > 1 ? Message{} : say("the call has one row"); }

constexpr std::array<Hypothesis, 11> kTable = {{
    {"weight_layout=col", kOrder, [](Variant& v) { v.reading.by_column = true; }, idle_column},
    {"weight_layer=next", kLayer, [](Variant& v) { v.weight_layer = 1; }, idle_layer},
    {"weight_layer=previous", kLayer, [](Variant& v) { v.weight_layer = -1; }, idle_layer},
    {"kv_weights=swapped", kTensor, [](Variant& v) { v.partner_weight = true; }},
    {"gate_up_weights=swapped", kTensor, [](Variant& v) { v.partner_weight = true; }},
    {"head_scale=applied", kFactors, [](Variant& v) { v.heads_scaled = true; }, idle_heads},
    {"tile_store=transposed", kTiles, [](Variant& v) { v.tiles_transposed = true; }, idle_tiles},
    {"tail=rows_left_out", kTail, [](Variant& v) { v.tail_rows_left_out = true; }, idle_tail},
    {"tail=terms_left_out", kTerms, [](Variant& v) { v.last_terms_left_out = 16; }, idle_terms},
    {"half_sum=f16", kTerms, [](Variant& v) { v.half_sum = true; }, idle_half},
    {"logits_row=previous", kRows, [](Variant& v) { v.previous_row = true; }, idle_row},
}};

}  // namespace

std::span<const Hypothesis> product_hypotheses() { return kTable; }

}  // namespace greta::reference
