#include <fmt/format.h>

#include "reference/rope.hpp"

#include "reference/config.hpp"
#include "reference/rounding.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;

// The frequency as the kernel has it, and how far its own may be from it, relative.
struct Frequency {
  double value, error;
};

// freq=f64: rounded once, so known, unless float64's own error (16 ulps are allowed to pow and the division)
// can push it over the middle of two floats. freq=f32: computed in f32, 4 ulp more.
Frequency frequency(double exact, bool freq_f64) {
  if (!freq_f64) return {exact, kU + 4 * kUlp};
  const double value = round_to(kF32, exact);
  const double to_middle = 0.5 * ulp(kF32, exact) - std::abs(exact - value);
  return {value, to_middle <= 16 * 0x1p-52 * exact ? kUlp : 0};
}

// The angle is position times frequency in f32: known where the frequency is.
Turn turn_of(int64_t position, const Frequency& f) {
  const double exact = static_cast<double>(position) * f.value;
  const double theta = f.error == 0 ? round_to(kF32, exact) : exact;
  return {std::sin(theta), std::cos(theta),
          f.error == 0 ? 0 : std::abs(exact) * (f.error + kU) * (1 + 0x1p-20)};
}

}  // namespace

std::vector<Turn> rope_turns(const Config& config, const Contract& contract, int start, int64_t S) {
  std::vector<Frequency> frequencies;
  for (const double exact : rope_frequencies(config))
    frequencies.push_back(frequency(exact, contract.freq_f64));
  std::vector<Turn> turns;
  for (int64_t s = 0; s < S; ++s)
    for (const auto& f : frequencies) turns.push_back(turn_of(start + s, f));
  return turns;
}

// (y0, y1) = (x0 cos − x1 sin, x0 sin + x1 cos). Errors: the angle's, times |x0| + |x1|; sine and cosine by
// their ulps; two products, one sum.
Errors rope(const Request& in) {
  const auto& config = in.config();
  const Matrix x = in.operand(0);
  const auto turns = rope_turns(config, in.contract, in.call.start, in.call.S());
  const double trig = *in.contract.trig_ulp * kUlp;

  auto errors = Errors::of_shape(x.rows(), x.cols());
  errors.value = x;  // dims from rope_dims on are copied
  for (Index s = 0; s < x.rows(); ++s) {
    for (Index i = 0; i < config.rope_dims / 2; ++i) {
      const auto [sine, cosine, turn] = turns[static_cast<size_t>(s * (config.rope_dims / 2) + i)];
      for (Index base = 2 * i; base < x.cols(); base += config.head_dim) {
        const double x0 = x(s, base), x1 = x(s, base + 1);
        const double terms[2][2] = {{x0 * cosine, -x1 * sine}, {x0 * sine, x1 * cosine}};
        const double floor = (std::abs(x0) + std::abs(x1)) * (turn + kTiny) + 4 * kTiny;
        for (int c = 0; c < 2; ++c) {
          const double a = std::abs(terms[c][0]), b = std::abs(terms[c][1]), y = terms[c][0] + terms[c][1];
          errors.value(s, base + c) = y;
          errors.certain(s, base + c) = ((a + b) * (trig + kU) + std::abs(y) * kU) * (1 + 0x1p-18) + floor;
          errors.rms(s, base + c) = kU * std::sqrt(a * a + b * b + y * y);
          errors.linear(s, base + c) = (a + b) * trig + floor;
        }
      }
    }
  }
  errors.reason = fmt::format(
      "rope, {} of {} dims, frequency in {}{}, sine and cosine {} ulp: certain = (|x0 cos| + |x1 "
      "sin|)·({}·2^-23 + 2^-24) + 2^-24·|y|{}; "
      "expected takes the roundings as independent",
      config.rope_dims, config.head_dim, in.contract.freq_f64 ? "f64" : "f32",
      in.contract.freq_f64 ? " (it and the angle rounded to f32 as declared)" : "", *in.contract.trig_ulp,
      *in.contract.trig_ulp, in.contract.freq_f64 ? "" : " + (|x0| + |x1|)·|angle|·10·2^-24");
  return errors;
}

}  // namespace greta::reference
