// trace.jsonl: a trace in the vocabulary of the engine's original stage traces, for scripts that read those.
//
// The first line is {"event":"schema", …}: name and version, the run's identity, and what the fields below
// mean. Then one line a tensor, {"event":"stage_trace", phase, point, layer, step, pos_id, seq_len, token_id,
// sample_n, hash, min, max, mean, abs_sum, nz_count, sample}, with the original's names for the points
// (embed_out, x_after_attn, mlp_out, …; a stage that they did not have keeps ours). What the originals lacked
// stands behind it: prompt_id, arm, shape, count, window, stage, kernel, nan_count, inf_count.
//
// - sample: the first 256 values, sample_n of them; hash is over just these (window says so), so a line can
// be
//   checked against itself. The hash is the originals': see sample_hash.
// - min, max, mean, abs_sum and nz_count are of the whole tensor, in float64, of the values that are finite.
// - pos_id is the position of the last row, seq_len = pos_id + 1; token_id, where the prompt reaches it, is
// the
//   token there. step: 0 in prefill, N + 1 in decodeN.
// - NaN and infinities are the strings "NaN", "Infinity", "-Infinity".
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "datasets/trace.hpp"

namespace greta::reports {

inline constexpr int kTraceJsonlSchema = 1;
inline constexpr size_t kTraceSample = 256;

// greta_hash of the first 256 floats.
uint64_t sample_hash(std::span<const float> values);

// Line by line, in path order, each with its newline. Error (bad_input) when a tensor cannot be read.
void trace_jsonl(const TraceReader& trace, const std::function<void(std::string_view line)>& sink);

// Atomic. Returns the number of tensors.
int64_t write_trace_jsonl(const TraceReader& trace, const std::string& path);

}  // namespace greta::reports
