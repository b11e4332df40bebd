// Inside reference/: each stage as a function of its operands, with its errors. One file a subject; local.cpp
// has the table.
#pragma once

#include "reference/bounds.hpp"
#include "reference/variant.hpp"

namespace greta::reference {

// What a stage is asked for.
struct Request {
  const Model& model;
  Stage stage;
  int layer;
  const Call& call;
  const Contract& contract;
  const Fetch& fetch;
  const Variant& variant = kRight;
  OwnWeights own_weights = {};

  // The index-th of operands_of(stage, layer), its shape checked (Error invalid), as the variant reads it.
  Matrix operand(size_t index) const;
  const Config& config() const { return model.config(); }
  int position(int64_t row) const { return call.start + static_cast<int>(row); }
};

// The shape that an operand must have: rows, columns.
std::pair<int64_t, int64_t> shape_of(const Config& config, const OperandRef& ref, const Call& call);

// The weight that a stage multiplies with, or its norm's gain; empty for stages without one.
std::string weight_of(const Model& model, Stage stage, int layer);
std::string weight_of(const Request&);  // as the variant has it
// The weight as the variant reads it: the engine's own view of it where there is one.
WeightReader reader_of(const Request&, const std::string& gguf_name);

// local.cpp. Error (invalid) when the contract declares another operation than the stage's.
Errors errors_of(const Request&);

// elementwise.cpp
Errors embed(const Request&);                                      // row of the table
Errors copy(const Request&);                                       // bits are moved
Errors add(const Request&);                                        // a + b
Errors swiglu(const Request&);                                     // gate / (1 + e^-gate) · up
Errors dequantised_rows(GgmlType, Matrix exact, const Contract&);  // of a weight
// Their bounds at once, in the memory that `out` has.
void judge_dequantised(GgmlType, const Eigen::Ref<const Matrix>& exact, const Contract&, Bounded& out);
Errors dequantised_weight(const Model&, const std::string& gguf_name, const Contract&,
                          const WeightReading& reading = {});
// gelu.cpp
Errors gelu(const Request&);  // gate · Φ(gate) · up, a variant of swiglu
// norm.cpp
Errors rms_norm(const Request&);  // x / sqrt(mean(x²) + eps) · gain
// matmul.cpp
Errors matmul(const Request&);  // Σ_k x·w
// matmul_by_parts.cpp
Errors matmul_by_parts(const Request&);  // the same under x=i32 w=parts
// rope.cpp
Errors rope(const Request&);  // pairs (2i, 2i+1) turned by position · frequency_i
// attention.cpp
Errors qk(const Request&);       // Σ_d q·k / sqrt(Dh), -inf above the position
Errors softmax(const Request&);  // e^(x - max) / Σ
Errors pv(const Request&);       // Σ_t p·v
// fused_attention.cpp
Errors attention(const Request&);  // all three at once

}  // namespace greta::reference
