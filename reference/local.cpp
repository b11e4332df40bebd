#include <fmt/format.h>

#include <array>

#include "datasets/error.hpp"
#include "reference/config.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

constexpr std::string_view kFused = "attention";  // attn_out's other operation

// A stage: the operation that its contract must declare, its function, its weight.
struct Row {
  Stage stage;
  std::string_view op;
  Errors (*errors)(const Request&);
  std::string_view weight;
};

constexpr std::array<Row, kStageCount> kTable = {{
    {Stage::embed, "embed", embed, ""},
    {Stage::attn_norm, "rmsnorm", rms_norm, "attn_norm"},
    {Stage::q, "matmul", matmul, "attn_q"},
    {Stage::k, "matmul", matmul, "attn_k"},
    {Stage::v, "matmul", matmul, "attn_v"},
    {Stage::q_rope, "rope", rope, ""},
    {Stage::k_rope, "rope", rope, ""},
    {Stage::k_cache, "copy", copy, ""},
    {Stage::v_cache, "copy", copy, ""},
    {Stage::qk, "qk", qk, ""},
    {Stage::softmax, "softmax", softmax, ""},
    {Stage::pv, "pv", pv, ""},
    {Stage::attn_out, "copy", copy, ""},
    {Stage::wo, "matmul", matmul, "attn_output"},
    {Stage::attn_residual, "add", add, ""},
    {Stage::ffn_norm, "rmsnorm", rms_norm, "ffn_norm"},
    {Stage::ffn_gate, "matmul", matmul, "ffn_gate"},
    {Stage::ffn_up, "matmul", matmul, "ffn_up"},
    {Stage::ffn_act, "swiglu", swiglu, ""},
    {Stage::ffn_down, "matmul", matmul, "ffn_down"},
    {Stage::ffn_residual, "add", add, ""},
    {Stage::final_norm, "rmsnorm", rms_norm, "output_norm"},
    {Stage::logits, "matmul", matmul, "output"},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < kTable.size(); ++i)
    if (static_cast<size_t>(kTable[i].stage) != i) return false;
  return true;
}
static_assert(in_order(), "the table is indexed by Stage");

const Row& row_of(Stage stage) { return kTable[static_cast<size_t>(stage)]; }

// The stage whose weight is taken for this one's when a table of tensors is in another order.
Stage partner_of(Stage stage) {
  switch (stage) {
    case Stage::k:
      return Stage::v;
    case Stage::v:
      return Stage::k;
    case Stage::ffn_gate:
      return Stage::ffn_up;
    case Stage::ffn_up:
      return Stage::ffn_gate;
    default:
      fail_internal("the weight of stage {} has no partner", name_of(stage));
  }
}

// The residual stream that enters a layer.
OperandRef layer_input(int layer) {
  return layer == 0 ? OperandRef{Stage::embed, -1} : OperandRef{Stage::ffn_residual, layer - 1};
}

}  // namespace

std::vector<OperandRef> operands_of(Stage stage, int layer, std::string_view op) {
  switch (stage) {
    case Stage::embed:
      return {};
    case Stage::attn_norm:
      return {layer_input(layer)};
    case Stage::q:
    case Stage::k:
    case Stage::v:
      return {{Stage::attn_norm, layer}};
    case Stage::q_rope:
      return {{Stage::q, layer}};
    case Stage::k_rope:
      return {{Stage::k, layer}};
    case Stage::k_cache:
      return {{Stage::k_rope, layer, true}};
    case Stage::v_cache:
      return {{Stage::v, layer, true}};
    case Stage::qk:
      return {{Stage::q_rope, layer}, {Stage::k_cache, layer}};
    case Stage::softmax:
      return {{Stage::qk, layer}};
    case Stage::pv:
      return {{Stage::softmax, layer}, {Stage::v_cache, layer}};
    case Stage::attn_out:
      if (op == kFused) return {{Stage::q_rope, layer}, {Stage::k_cache, layer}, {Stage::v_cache, layer}};
      return {{Stage::pv, layer}};
    case Stage::wo:
      return {{Stage::attn_out, layer}};
    case Stage::attn_residual:
      return {{Stage::wo, layer}, layer_input(layer)};
    case Stage::ffn_norm:
      return {{Stage::attn_residual, layer}};
    case Stage::ffn_gate:
    case Stage::ffn_up:
      return {{Stage::ffn_norm, layer}};
    case Stage::ffn_act:
      return {{Stage::ffn_gate, layer}, {Stage::ffn_up, layer}};
    case Stage::ffn_down:
      return {{Stage::ffn_act, layer}};
    case Stage::ffn_residual:
      return {{Stage::ffn_down, layer}, {Stage::attn_residual, layer}};
    case Stage::final_norm:
      return {{Stage::ffn_residual, layer}};
    case Stage::logits:
      return {{Stage::final_norm, -1}};
  }
  return {};
}

std::string weight_of(const Model& model, Stage stage, int layer) {
  const auto part = row_of(stage).weight;
  if (part.empty()) return {};
  if (stage == Stage::logits) return model.output_weight();
  if (stage == Stage::final_norm) return "output_norm.weight";
  return layer_weight(layer, part);
}

std::string weight_of(const Request& in) {
  const int layers = static_cast<int>(in.config().layers);
  const int layer = in.layer < 0 ? in.layer : (in.layer + layers + in.variant.weight_layer) % layers;
  return weight_of(in.model, in.variant.partner_weight ? partner_of(in.stage) : in.stage, layer);
}

WeightReader reader_of(const Request& in, const std::string& gguf_name) {
  return {in.model, gguf_name, in.variant.reading, in.own_weights ? in.own_weights(gguf_name) : nullptr};
}

std::pair<int64_t, int64_t> shape_of(const Config& config, const OperandRef& ref, const Call& call) {
  const auto shape = greta::shape_of(ref.stage, config.sizes(call.S(), call.T()));
  int64_t columns = 1;
  for (size_t axis = 1; axis < shape.size(); ++axis) columns *= shape[axis];
  return {ref.history ? call.T() : shape[0], columns};
}

Matrix Request::operand(size_t index) const {
  const auto refs = operands_of(stage, layer, contract.op);
  auto ref = refs.at(variant.operands_exchanged ? refs.size() - 1 - index : index);
  if (info(ref.stage).per_layer && ref.layer < 0) ref.layer = static_cast<int>(config().layers) - 1;
  if (variant.layer_zero && ref.stage != Stage::q_rope) ref.layer = 0;
  Matrix operand = fetch(ref);
  const auto [rows, columns] = reference::shape_of(config(), ref, call);
  if (operand.rows() != rows || operand.cols() != columns)
    fail_invalid("stage {} of layer {} needs {} as [{}, {}] and was given [{}, {}]", name_of(stage), layer,
                 name_of(ref.stage), rows, columns, operand.rows(), operand.cols());
  if (variant.previous_row)
    for (Eigen::Index row = rows - 1; row > 0; --row) operand.row(row) = operand.row(row - 1);
  return operand;
}

Bounded local(const Model& model, Stage stage, int layer, const Call& call, const Contract& contract,
              const Fetch& fetch, const OwnWeights& own_weights) {
  return judge(errors_of({model, stage, layer, call, contract, fetch, kRight, own_weights}));
}

namespace {

void require_dequant(const std::string& gguf_name, const Contract& contract) {
  if (contract.op != "dequant")
    fail_invalid("weight {} declares op={}, dequant was expected", gguf_name, contract.op);
}

}  // namespace

void local_weight_tiles(const Model& model, const std::string& gguf_name, const Contract& contract,
                        const BoundedVisitor& visit) {
  require_dequant(gguf_name, contract);
  const auto type = model.weight_info(gguf_name).type;
  model.visit_tiles(
      gguf_name,
      [&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
        thread_local Bounded rows;
        judge_dequantised(type, tile, contract, rows);
        visit(begin, rows);
      },
      kCachedTile);
}

Bounded local_weight(const Model& model, const std::string& gguf_name, const Contract& contract) {
  require_dequant(gguf_name, contract);
  return judge(dequantised_weight(model, gguf_name, contract));
}

Errors errors_of(const Request& request) {
  const auto& row = row_of(request.stage);
  if (request.stage == Stage::attn_out && request.contract.op == kFused) return attention(request);
  if (request.contract.op != row.op)
    fail_invalid("stage {} declares op={}, {} was expected", name_of(request.stage), request.contract.op,
                 row.op);
  return row.errors(request);
}

}  // namespace greta::reference
