// Inside reference/: the hypotheses, one row for each known cause (datasets/cause.hpp) that changes what a
// stage computes: which part of the stage it varies, and where that changes nothing. Written from the texts
// of the causes alone.
//
// To add a hypothesis: a row in the file of its subject; if the stage cannot be varied so yet, a field of
// Variant (reference/variant.hpp) that the stage heeds.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "datasets/cause.hpp"
#include "datasets/message.hpp"
#include "reference/stages.hpp"

namespace greta::reference {

// What a hypothesis takes hold of: two that take hold of the same do not go together.
enum Part : uint64_t {
  kNibbles = 1 << 0,
  kScales = 1 << 1,
  kMins = 1 << 2,
  kHighBits = 1 << 3,
  kOffset = 1 << 4,
  kBlocks = 1 << 5,
  kLoading = 1 << 6,
  kOrder = 1 << 7,
  kLayer = 1 << 8,
  kTensor = 1 << 9,
  kTerms = 1 << 10,
  kFactors = 1 << 11,
  kTiles = 1 << 12,
  kTail = 1 << 13,
  kRows = 1 << 14,
  kPairs = 1 << 15,
  kPositions = 1 << 16,
  kBase = 1 << 17,
  kTurns = 1 << 18,
  kDirection = 1 << 19,
  kScale = 1 << 20,
  kHeads = 1 << 21,
  kMask = 1 << 22,
  kWindow = 1 << 23,
  kSum = 1 << 24,
  kMaximum = 1 << 25,
  kGain = 1 << 26,
  kMean = 1 << 27,
  kEps = 1 << 28,
  kFunction = 1 << 29,
  kAll = ~uint64_t{0},
};

struct Hypothesis {
  std::string_view cause;  // "rope_pairs=halves"
  uint64_t parts;
  void (*vary)(Variant&);
  // Why it changes nothing in this model or call; empty where it may.
  Message (*idle)(const Request&) = nullptr;
  // The same for a cause in the unpacking of a weight.
  Message (*idle_weight)(const Model::WeightInfo&) = nullptr;
};

std::span<const Hypothesis> unpacking_hypotheses();
std::span<const Hypothesis> product_hypotheses();
std::span<const Hypothesis> rope_hypotheses();
std::span<const Hypothesis> attention_hypotheses();
std::span<const Hypothesis> cache_hypotheses();
std::span<const Hypothesis> norm_hypotheses();
std::span<const Hypothesis> elementwise_hypotheses();

// nullptr for a cause that changes no computation (a missing barrier).
const Hypothesis* hypothesis_of(const Cause& cause);

}  // namespace greta::reference
