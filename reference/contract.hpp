// The arithmetic that a kernel declared, parsed from the trace's `contract` attribute. Grammar:
// docs/contracts.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace greta::reference {

enum class Rounding { f32, f16, bf16 };

struct Contract {
  std::string text;  // as declared
  std::string op;
  std::optional<Rounding> x, w, acc, out;
  std::optional<int> chain;         // additions on the longest path to one result
  std::optional<std::string> unit;  // "ieee"
  std::optional<double> exp_ulp, trig_ulp, sqrt_ulp, div_ulp;
  bool freq_f64 = true;

  // Error (invalid) naming the word that is unknown, or the key that `op` needs and does not find.
  static Contract parse(std::string_view text);
};

}  // namespace greta::reference
