// Inside reference/: what the stages of attention share, fused or not.
#pragma once

#include "reference/dot.hpp"
#include "reference/rounding.hpp"
#include "reference/stages.hpp"

namespace greta::reference {

// The KV head that head h reads, as the variant has it.
Eigen::Index kv_head(const Request& in, Eigen::Index h);

// Whether the token of row s has a score at position t, as the variant has it.
bool sees(const Request& in, Eigen::Index s, Eigen::Index t);

// 1/sqrt(Dh), as the variant has it, and the relative roundings that it brings.
struct ScoreScale {
  double value, roundings;
};
ScoreScale score_scale(const Request& in);

// An exponential that f32 cannot hold is infinite, or 0.
inline double in_f32(double x) { return x > kF32.largest || x < kTiny / 2 ? round_to(kF32, x) : x; }

// The products' arithmetic, and their left side as the contract rounds it.
DotArithmetic arithmetic_of(const Contract& contract, double scale);
DotOperand left_of(const Contract& contract, const Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>& values);

}  // namespace greta::reference
