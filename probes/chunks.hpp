// A prompt in chunks: calls of so many tokens over one cache, the last one of what is left. What the plan,
// the runner and the probe `chunking` agree on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/evidence.hpp"

namespace greta::probes {

struct ChunkCall {
  int64_t size = 0, index = 0;
  std::string name() const;  // "chunk16_3"
  int64_t start() const { return size * index; }
  int64_t rows(int64_t tokens) const { return std::min(size, tokens - start()); }
};
// The calls that a prompt takes; none where one call would be all of it.
std::vector<ChunkCall> chunk_calls(int64_t tokens, int64_t size);
std::optional<ChunkCall> parse_chunk(std::string_view phase);  // empty for another phase

// The same in the evidence. Throws Missing.
std::vector<const Phase*> chunk_phases(const Evidence& evidence, int64_t tokens, int64_t size);

// Where a row of the chunks is first computed otherwise than in one call: by another kernel, or under another
// contract. From there on, in the order of the pipeline, no equal bits can be asked for.
struct Departure {
  int layer = -1;
  Stage stage = Stage::embed;
  std::string chunks, whole;  // kernels, or contracts where the kernels are the same
};
std::optional<Departure> departure_of(const Phase& whole, const std::vector<const Phase*>& chunks,
                                      int64_t layers);

// Sums over positions get longer with the cache. What is behind a row's own position is masked and adds
// nothing, so a longer chain alone is no other arithmetic for the row.
bool same_for_a_row(Stage stage, std::string_view contract, std::string_view other);

// Whether a place comes before another in the order of the pipeline.
bool before(int layer, Stage stage, const Departure& departure);

}  // namespace greta::probes
