// The arithmetic that a kernel declared, parsed from the trace's `contract` attribute. Grammar:
// docs/contracts.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace greta::reference {

enum class Rounding { f32, f16, bf16 };
enum class Unit { ieee, cdna2, cdna3, hopper };  // what a sum of products goes through (reference/unit.hpp)
std::string_view name_of(Rounding);
std::string_view name_of(Unit);

struct Contract {
  std::string text;  // as declared
  std::string op;
  std::optional<Rounding> x, w, p, acc, out;
  bool parts = false;  // matmul: x=i32 w=parts acc=i32 (reference/parts.hpp); these three are then empty
  std::optional<int> chain;             // additions on the longest path to one result
  std::optional<int> sum;               // attention: over the positions; parts: in f32
  std::optional<int> rescales, rounds;  // attention
  std::optional<Unit> unit;
  std::optional<double> exp_ulp, trig_ulp, sqrt_ulp, div_ulp;
  bool freq_f64 = true;

  // Error (invalid) naming the word that is unknown, the key that `op` needs and does not find, or the words
  // that do not go together.
  static Contract parse(std::string_view text);
};

}  // namespace greta::reference
