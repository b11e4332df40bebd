#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include "datasets/error.hpp"
#include "reference/dequantise.hpp"
#include "reference/rounding.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

constexpr const char* kUnpackedInF32 =
    "unpacked in f32: one rounding of the difference d·sc·q − dmin·m, 2^-24·|w|; other types are exact";

// A weight brought to the declared type: exact where f32 holds the value, else one rounding of the difference
// in f32, and where the type is narrower, the rounding to it, which is known but for values that f32's
// rounding may push over the middle of two neighbours.
void round_weights(GgmlType type, Rounding to, Errors& errors) {
  const Format format = format_of(to);
  for (Index i = 0; i < errors.value.size(); ++i) {
    double& value = errors.value.data()[i];
    const double exact = value, as_f32 = round_to(kF32, exact);
    const bool inexact = rounds_in_f32(type) && as_f32 != exact;
    double error = inexact ? kU * std::abs(exact) + kTiny : 0;
    if (to != Rounding::f32) {
      value = round_to(format, as_f32);
      const double half = 0.5 * ulp(format, exact);
      const bool either = inexact && std::abs(std::abs(exact - value) - half) <= 2 * ulp(kF32, exact);
      error = either ? 2 * half : 0;
    }
    errors.certain.data()[i] = errors.linear.data()[i] = error;
  }
  errors.reason =
      to == Rounding::f32 ? kUnpackedInF32 : "unpacked in f32 and rounded as declared: exact but for ties";
}

Errors moved(Matrix value) {
  Errors errors;
  errors.value = std::move(value);
  errors.certain = errors.rms = errors.linear = Matrix::Zero(errors.value.rows(), errors.value.cols());
  errors.reason = "copied: bitwise equal";
  return errors;
}

}  // namespace

Errors embed(const Request& in) {
  const WeightReader table = reader_of(in, "token_embd.weight");
  const auto info = table.info();
  auto errors = Errors::of_shape(in.call.S(), info.columns);
  for (Index s = 0; s < in.call.S(); ++s) {
    const auto token = in.call.tokens[static_cast<size_t>(s)];
    if (token < 0 || token >= info.rows)
      fail_invalid("token {} is outside the vocabulary of {}", token, info.rows);
    if (in.variant.zeroed_rows) continue;
    const auto row = in.variant.next_token ? (token + int64_t{1}) % info.rows : token;
    table.row(row, {errors.value.row(s).data(), static_cast<size_t>(info.columns)});
  }
  round_weights(info.type, *in.contract.w, errors);
  return errors;
}

Errors dequantised_rows(GgmlType type, Matrix exact, const Contract& contract) {
  auto errors = Errors::of_shape(exact.rows(), exact.cols());
  errors.value = std::move(exact);
  round_weights(type, *contract.w, errors);
  return errors;
}

// In f32 what round_weights() and judge() do, in one pass that is vectorised: all weights of a model go this
// way.
void judge_dequantised(GgmlType type, const Eigen::Ref<const Matrix>& exact, const Contract& contract,
                       Bounded& out) {
  if (*contract.w != Rounding::f32) {
    out = judge(dequantised_rows(type, exact, contract));
    return;
  }
  for (auto* matrix : {&out.value, &out.certain, &out.expected}) matrix->resize(exact.rows(), exact.cols());
  out.reason = kUnpackedInF32;
  const bool difference = rounds_in_f32(type);
  for (Index row = 0; row < exact.rows(); ++row) {
    const double* from = exact.data() + row * exact.outerStride();
    double *value = out.value.row(row).data(), *certain = out.certain.row(row).data(),
           *expected = out.expected.row(row).data();
    for (Index k = 0; k < exact.cols(); ++k) {
      const double w = from[k], as_f32 = static_cast<double>(static_cast<float>(w));
      const double error = (kU * std::abs(w) + kTiny) * kSlack;
      const bool inexact = difference & (as_f32 != w) & (std::abs(as_f32) <= kF32.largest);
      value[k] = std::abs(w) <= kF32.largest ? w : as_f32;
      certain[k] = expected[k] = inexact ? error : 0;
    }
  }
}

Errors dequantised_weight(const Model& model, const std::string& gguf_name, const Contract& contract,
                          const WeightReading& reading) {
  const WeightReader weight(model, gguf_name, reading);
  return dequantised_rows(weight.info().type, *weight.whole(), contract);
}

Errors copy(const Request& in) {
  const Rounding out = in.contract.out.value_or(Rounding::f32);
  if (out == Rounding::f32) return moved(in.operand(0));
  auto errors = moved(rounded(out, in.operand(0)));
  errors.reason = fmt::format("copied and rounded to {} to nearest even: exactly so", name_of(out));
  return errors;
}

Errors add(const Request& in) {
  const auto variant = in.variant.residual;
  if (variant == Residual::branch || variant == Residual::stream)
    return moved(in.operand(variant == Residual::branch ? 0 : 1));
  Errors errors;
  const Matrix stream = in.operand(1);
  errors.value = in.operand(0) + stream;
  errors.certain = errors.linear = errors.value.cwiseAbs() * kU;
  if (variant == Residual::twice) {  // the second sum's rounding on top of the first's
    errors.value += stream;
    errors.certain = errors.linear += errors.value.cwiseAbs() * kU;
  }
  errors.rms = Matrix::Zero(errors.value.rows(), errors.value.cols());
  errors.reason = "one addition in f32: 2^-24·|y|";
  return errors;
}

// With E = e^-g: relative errors E/(1+E) of exp's ulps, one rounding of 1 + E, the division, one product (two
// when the reciprocal is multiplied). Below g = -88.7 E overflows and a correct kernel gives -0: |g|·e^g is
// under 2^-121 there.
Errors swiglu(const Request& in) {
  if (in.variant.activation != Activation::silu) return gelu(in);
  const Matrix gate = in.operand(0), up = in.operand(1);
  const double exp_ulp = *in.contract.exp_ulp * kUlp, div_ulp = *in.contract.div_ulp * kUlp;
  auto errors = Errors::of_shape(gate.rows(), gate.cols());
  tbb::parallel_for(tbb::blocked_range<Index>(0, gate.size(), 1 << 14), [&](const auto& range) {
    for (Index i = range.begin(); i < range.end(); ++i) {
      const double g = gate.data()[i], u = up.data()[i];
      const double e = std::exp(-g), y = g / (1 + e) * u;
      const double share = std::isinf(e) ? 1 : e / (1 + e);
      const double floor = 0x1p-121 * std::abs(u) + kTiny;
      errors.value.data()[i] = y;
      errors.certain.data()[i] = std::abs(y) * (share * exp_ulp + div_ulp + 3 * kU) * (1 + 0x1p-15) + floor;
      errors.linear.data()[i] = errors.certain.data()[i];
    }
  });
  errors.reason = fmt::format(
      "silu(gate)·up in f32, exp {} ulp, division {} ulp: (e^-g/(1+e^-g)·{}·2^-23 + {}·2^-23 + 3·2^-24)·|y| "
      "+ 2^-121·|up|",
      *in.contract.exp_ulp, *in.contract.div_ulp, *in.contract.exp_ulp, *in.contract.div_ulp);
  return errors;
}

}  // namespace greta::reference
