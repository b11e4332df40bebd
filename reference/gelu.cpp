// GELU where a Llama has SiLU: a variant of swiglu.
#include <fmt/format.h>

#include <numbers>

#include "reference/stages.hpp"

namespace greta::reference {
namespace {

// The contract says nothing of erf and tanh, for no right kernel calls them: 4 ulp is what the libraries
// promise (glibc 1, CUDA 2, ROCm 4), and covers tanh by way of exp.
constexpr double kLibrary = 4 * kUlp;

// 1 + c, c the erf or tanh of `argument`, and how far off a kernel may be: the library, the argument's error
// (relative) by c's slope, the sum's rounding. Absolute: what cancels for a negative gate is lost.
struct Doubled {
  double value, error;
};
Doubled one_plus(double c, double slope, double argument, double relative) {
  return {1 + c, std::abs(c) * kLibrary + slope * std::abs(argument) * relative * kU + (1 + c) * kU + kTiny};
}

Doubled by_erf(double g) {
  const double a = g / std::numbers::sqrt2, slope = 2 / std::sqrt(std::numbers::pi) * std::exp(-a * a);
  const double value = std::erfc(-a);  // 1 + erf(a) without its cancellation
  auto out = one_plus(std::erf(a), slope, a, 2);
  out.value = value;
  return out;
}

// a = sqrt(2/π)·(g + 0.044715 g³): two constants, four products, one sum; 1 + tanh(a) = 2/(1 + e^-2a).
Doubled by_tanh(double g) {
  const double a = std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g), t = std::tanh(a);
  auto out = one_plus(t, 1 - t * t, a, 7);
  out.value = 2 / (1 + std::exp(-2 * a));
  return out;
}

}  // namespace

// y = g·½·(1 + c)·up: the error of 1 + c, and three products.
Errors gelu(const Request& in) {
  const Matrix gate = in.operand(0), up = in.operand(1);
  const bool tanh = in.variant.activation == Activation::gelu_tanh;
  auto errors = Errors::of_shape(gate.rows(), gate.cols());
  for (Eigen::Index i = 0; i < gate.size(); ++i) {
    const double g = gate.data()[i], u = up.data()[i];
    const auto doubled = tanh ? by_tanh(g) : by_erf(g);
    const double y = 0.5 * g * doubled.value * u;
    errors.value.data()[i] = y;
    errors.certain.data()[i] =
        (0.5 * std::abs(g * u) * doubled.error + 3 * kU * std::abs(y)) * (1 + 0x1p-15) +
        kTiny * (2 + std::abs(u));
    errors.linear.data()[i] = errors.certain.data()[i];
  }
  errors.reason = fmt::format(
      "gate·½·(1 + {})·up in f32, the function 4 ulp: the error of 1 + c times |gate·up|/2, and 3·2^-24·|y|",
      tanh ? "tanh(sqrt(2/π)(g + 0.044715 g³))" : "erf(g/sqrt(2))");
  return errors;
}

}  // namespace greta::reference
