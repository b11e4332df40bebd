#include "reference/unit.hpp"

#include <fmt/format.h>

#include "reference/rounding.hpp"

namespace greta::reference {
namespace {

// Additions on a path through cdna2's trees: four products go through two, then one a tree.
double cdna2_additions(Rounding type, double chain) {
  const UnitSteps steps(chain);
  return steps.additions + (type == Rounding::bf16 ? 8 * steps.blocks + 1 : 4 * steps.blocks + 2);
}

// The running sum is no larger than what the partial sums pass through, with a random walk, nor is any
// product.
double running(const DotSums& dot) { return std::sqrt(dot.peak * dot.peak + dot.square); }

// Every sum below the normal range of f32 is flushed, every product likewise.
DotError cdna2_error(const UnitSum& how, const DotSums& dot, double terms) {
  auto error = dot_error(dot, terms, cdna2_additions(how.type, how.chain) + how.rescales, how.extra);
  const double flushed = (terms + how.chain) * kNormal;
  error.certain += flushed;
  error.linear += flushed;
  return error;
}

// A group of eight with E of its products, E <= their largest magnitude M: seven cuts of products and one of
// c of at most u·E each (c is cut only where E is not its own), ΣM <= Σ|p| and, over all groups, ΣM <=
// sqrt(groups)·‖p‖; a floor of at most 2^-31 of M or c; a rounding. Half of a cut is its mean, half its
// random part.
DotError cdna3_error(const UnitSum& how, const DotSums& dot, double terms) {
  const UnitSteps steps(how.chain);
  const double groups = 2 * steps.blocks, additions = steps.additions + how.rescales, c = running(dot),
               stored = kU * std::abs(dot.value) + (terms + how.chain) * kTiny,
               cuts = std::min(dot.abs, std::sqrt(std::ceil(terms / 8) * dot.square));
  return {gamma(8 + groups * (1 + 0x1p-7) + additions + how.extra) * dot.abs + stored,
          kU * std::sqrt((2 + how.extra) * dot.square + (groups + additions) * c * c),
          4 * kU * cuts + groups * 0x1p-32 * c + stored};
}

// A block: sixteen cuts (one of the 17 has E itself) of at most 2^-25·E = u/2·E and one of the result, 2u of
// it; E is at most the running sum or the largest product. Half of each is its mean, taken as if all had one
// sign; half its random part: (u/4)²·16 + u² a block.
DotError hopper_error(const UnitSum& how, const DotSums& dot, double terms) {
  const UnitSteps steps(how.chain);
  const double additions = steps.additions + how.rescales, c = running(dot),
               stored = kU * std::abs(dot.value) + (terms + how.chain) * kTiny;
  return {gamma(10 * steps.blocks + additions + how.extra) * dot.abs + stored,
          kU * std::sqrt((1 + how.extra) * dot.square + (2 * steps.blocks + additions) * c * c),
          5 * kU * steps.blocks * c + stored};
}

}  // namespace

DotError dot_error(const UnitSum& how, const DotSums& sums, double terms) {
  switch (how.unit) {
    case Unit::cdna2:
      return cdna2_error(how, sums, terms);
    case Unit::cdna3:
      return cdna3_error(how, sums, terms);
    case Unit::hopper:
      return hopper_error(how, sums, terms);
    default:
      return dot_error(sums, terms, how.chain + how.rescales, how.extra);
  }
}

double taken(Unit unit, Rounding type, double value) {
  const Format& format = format_of(type);
  const double rounded = round_to(format, value);
  return unit == Unit::cdna2 && std::abs(rounded) < std::ldexp(1.0, format.min_exponent) ? 0 : rounded;
}

double least_magnitude(Unit unit, Rounding type) {
  return leans(unit) ? std::ldexp(1.0, format_of(type).min_exponent) : 0;
}

bool leans(Unit unit) { return unit == Unit::cdna3 || unit == Unit::hopper; }

// 0.72 = 1/(2 ln 2) is the mean of E/|c| for c anywhere in its binade. Of hopper's result 0.4 of the last
// place is cut on average, and a half of the last of 25 bits of each of 16 products, all in one direction
// where they have one sign. A product has 2(precision - 1) bits of its own and loses none until c is 2^spare
// times as large: of n terms in a straight line, (1 - 2^spare/n)² of the loss is left. cdna3's floor at 31
// bits likewise.
double mean_error(const UnitSum& how, double value, double abs) {
  const double blocks = UnitSteps(how.chain).blocks, c = 0.72 * 0.5 * std::abs(value);
  const int own_bits = 2 * (format_of(how.type).precision - 1);
  const auto lost = [&](int kept) {
    const double share = 1 - std::ldexp(1.0, kept - own_bits) / (16 * blocks);
    return share > 0 ? share * share : 0;
  };
  if (how.unit == Unit::cdna3) return -blocks * 0x1p-31 * lost(31) * c;
  if (how.unit != Unit::hopper || abs == 0) return 0;
  const double one_sign = std::abs(value) / abs;
  return -std::copysign(kU * blocks * (0.8 + 4 * one_sign * lost(25)) * c, value);
}

std::string reason_of(Unit unit, Rounding type, double chain, double extra) {
  const UnitSteps steps(chain);
  switch (unit) {
    case Unit::ieee:
      return fmt::format(
          "{} additions in f32: expected = 7.13·2^-24·sqrt({}·‖p‖² + {}·max|partial sum|²) + 2^-24·|y|; "
          "certain = γ_{}·Σ|p| + 2^-24·|y|",
          chain, chain + 1 + extra, chain, chain + 1 + extra);
    case Unit::cdna2: {
      const double additions = cdna2_additions(type, chain);
      return fmt::format(
          "cdna2's trees, {} additions on a path, subnormals flushed: expected = 7.13·2^-24·sqrt({}·‖p‖² + "
          "{}·max|partial sum|²) + 2^-24·|y|; certain = γ_{}·Σ|p| + 2^-24·|y|",
          additions, additions + 1 + extra, additions, additions + 1 + extra);
    }
    case Unit::cdna3:
      return fmt::format(
          "{} groups of 8 in cdna3's unit and {} additions: expected = 7.13·2^-24·sqrt({}·‖p‖² + {}·c²) + "
          "2^-22·Σ max|p| + {}·2^-32·c + 2^-24·|y|, c² = max|partial sum|² + ‖p‖²; certain = γ_{:.6g}·Σ|p| + "
          "2^-24·|y|",
          2 * steps.blocks, steps.additions, 2 + extra, 2 * steps.blocks + steps.additions, 2 * steps.blocks,
          8 + 2 * steps.blocks * (1 + 0x1p-7) + steps.additions + extra);
    case Unit::hopper:
      return fmt::format(
          "{} blocks of 16 in hopper's unit, which truncates, and {} additions: expected = {}·2^-24·c for "
          "the "
          "truncations' mean + 7.13·2^-24·sqrt({}·‖p‖² + {}·c²) + 2^-24·|y|, c² = max|partial sum|² + ‖p‖²; "
          "certain = γ_{}·Σ|p| + 2^-24·|y|",
          steps.blocks, steps.additions, 5 * steps.blocks, 1 + extra, 2 * steps.blocks + steps.additions,
          10 * steps.blocks + steps.additions + extra);
  }
  return {};
}

}  // namespace greta::reference
