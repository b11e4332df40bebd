// Embedding, activation, residuals.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

constexpr std::array<Hypothesis, 8> kTable = {{
    {"gate_up=swapped", kRows, [](Variant& v) { v.operands_exchanged = true; }},
    {"activation=gelu", kFunction, [](Variant& v) { v.activation = Activation::gelu; }},
    {"activation=gelu_tanh", kFunction, [](Variant& v) { v.activation = Activation::gelu_tanh; }},
    {"residual=left_out", kAll, [](Variant& v) { v.residual = Residual::branch; }},
    {"residual=twice", kAll, [](Variant& v) { v.residual = Residual::twice; }},
    {"residual=branch_left_out", kAll, [](Variant& v) { v.residual = Residual::stream; }},
    {"embed_token=next", kRows, [](Variant& v) { v.next_token = true; }},
    {"embed_row=zeroed", kAll, [](Variant& v) { v.zeroed_rows = true; }},
}};

}  // namespace

std::span<const Hypothesis> elementwise_hypotheses() { return kTable; }

}  // namespace greta::reference
