// RoPE: other pairs, positions, frequencies, another number of turns.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

constexpr uint64_t kTurning = kPairs | kPositions | kBase | kTurns | kDirection;

Message idle_at_zero(const Request& in) {
  return in.call.T() > 1 ? Message{} : say("position 0 alone is not turned");
}
Message idle_pairs(const Request& in) {
  return in.config().rope_dims > 2 ? idle_at_zero(in) : say("a head has one pair of turned dims");
}
Message idle_base(const Request& in) {
  return in.config().rope_base == 10000 ? say("the model's base is 10000") : idle_at_zero(in);
}

constexpr std::array<Hypothesis, 7> kTable = {{
    {"rope_pairs=halves", kPairs, [](Variant& v) { v.rope_halves = true; }, idle_pairs},
    {"rope_position=+1", kPositions, [](Variant& v) { v.rope_shift = 1; }},
    {"rope_position=-1", kPositions, [](Variant& v) { v.rope_shift = -1; }},
    {"rope_base=10000", kBase, [](Variant& v) { v.rope_base = 10000; }, idle_base},
    {"rope=left_out", kTurning, [](Variant& v) { v.rope_turns = 0; }, idle_at_zero},
    {"rope=twice", kTurns, [](Variant& v) { v.rope_turns = 2; }, idle_at_zero},
    {"rope_direction=reversed", kDirection, [](Variant& v) { v.rope_backwards = true; }, idle_at_zero},
}};

}  // namespace

std::span<const Hypothesis> rope_hypotheses() { return kTable; }

}  // namespace greta::reference
