// Rows of values rounded to a contract's types: round_to() and taken() for many at once, without a branch, so
// that the loops are vectorised.
#pragma once

#include <span>

#include "reference/rounding.hpp"
#include "reference/unit.hpp"

namespace greta::reference {

// out[i] = taken(unit, to, in[i]); through_f32: taken(unit, to, round_to(kF32, in[i])). `out` may be `in`.
void take(Unit unit, Rounding to, bool through_f32, std::span<const double> in, std::span<double> out);

// A weight that f32 had to round and that lies within an ulp of f32 of the middle between two neighbours of
// the narrow type may be rounded to either: the kernel's two roundings in f32 are not prescribed.
bool may_round_either_way(const Format& format, double exact, double narrow);
// Whether any of these may.
bool any_may_round_either_way(Rounding to, std::span<const double> exact, std::span<const double> narrow);

}  // namespace greta::reference
