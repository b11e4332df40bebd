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

namespace {

// Calls body(row, first dim, second dim, turn) for each pair of each head.
template <typename Body>
void for_pairs(const Request& in, Index columns, const std::vector<Turn>& turns, const Body& body) {
  const Index half = in.config().rope_dims / 2, step = in.variant.rope_halves ? 1 : 2,
              apart = in.variant.rope_halves ? half : 1;
  for (Index s = 0; s < in.call.S(); ++s)
    for (Index i = 0; i < half; ++i)
      for (Index base = step * i; base < columns; base += in.config().head_dim)
        body(s, base, base + apart, turns[static_cast<size_t>(s * half + i)]);
}

// (y0, y1) = (x0 cos − x1 sin, x0 sin + x1 cos). Errors: the angle's, times |x0| + |x1|; sine and cosine by
// their ulps; two products, one sum.
Errors turned(const Request& in, const Matrix& x, const std::vector<Turn>& turns) {
  const double trig = *in.contract.trig_ulp * kUlp;
  auto errors = Errors::of_shape(x.rows(), x.cols());
  errors.value = x;  // dims from rope_dims on are copied
  for_pairs(in, x.cols(), turns, [&](Index s, Index first, Index second, const Turn& t) {
    const auto [sine, cosine, turn] = t;
    const double x0 = x(s, first), x1 = x(s, second);
    const double terms[2][2] = {{x0 * cosine, -x1 * sine}, {x0 * sine, x1 * cosine}};
    const double floor = (std::abs(x0) + std::abs(x1)) * (turn + kTiny) + 4 * kTiny;
    for (int c = 0; c < 2; ++c) {
      const Index at = c == 0 ? first : second;
      const double a = std::abs(terms[c][0]), b = std::abs(terms[c][1]), y = terms[c][0] + terms[c][1];
      errors.value(s, at) = y;
      errors.certain(s, at) = ((a + b) * (trig + kU) + std::abs(y) * kU) * (1 + 0x1p-18) + floor;
      errors.rms(s, at) = kU * std::sqrt(a * a + b * b + y * y);
      errors.linear(s, at) = (a + b) * trig + floor;
    }
  });
  return errors;
}

// Once more: what was off before is turned along.
Errors turned_again(const Request& in, const Errors& once, const std::vector<Turn>& turns) {
  auto errors = turned(in, once.value, turns);
  for_pairs(in, once.value.cols(), turns, [&](Index s, Index first, Index second, const Turn& turn) {
    const double sine = std::abs(turn.sine), cosine = std::abs(turn.cosine);
    const auto carry = [&](Index at, double by_first, double by_second) {
      const auto sum = [&](const Matrix& e) { return (by_first * e(s, first) + by_second * e(s, second)); };
      errors.certain(s, at) += sum(once.certain) * (1 + 0x1p-18);
      errors.linear(s, at) += sum(once.linear) * (1 + 0x1p-18);
      errors.rms(s, at) =
          std::hypot(errors.rms(s, at), by_first * once.rms(s, first), by_second * once.rms(s, second));
    };
    carry(first, cosine, sine);
    carry(second, sine, cosine);
  });
  return errors;
}

// The angles of the variant.
std::vector<Turn> turns_of(const Request& in) {
  Config config = in.config();
  config.rope_base = in.variant.rope_base.value_or(config.rope_base);
  auto turns = rope_turns(config, in.contract, in.call.start + in.variant.rope_shift, in.call.S());
  if (in.variant.rope_backwards)
    for (auto& turn : turns) turn.sine = -turn.sine;
  return turns;
}

}  // namespace

Errors rope(const Request& in) {
  const auto& config = in.config();
  const Matrix x = in.operand(0);
  const auto turns = turns_of(in);

  Errors errors;
  if (in.variant.rope_turns == 0) {
    errors = Errors::of_shape(x.rows(), x.cols());
    errors.value = x;
  } else {
    errors = turned(in, x, turns);
  }
  for (int turn = 1; turn < in.variant.rope_turns; ++turn) errors = turned_again(in, errors, turns);
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
