// What the reference itself computes from the tokens on, as a trace of float64 tensors: for another
// implementation to be held against (scripts/oracle.py), and for who wants to read it. No engine runs.
#pragma once

#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/prompts.hpp"

namespace greta::suites {

// Every stage of every layer of two phases a prompt, /<prompt>/reference/<phase>/…: `prefill`, all tokens at
// once; `decode0`, the last token alone over a cache of the ones before it. Nothing is rounded to a narrower
// type than float64, RoPE's frequencies and angles neither.
void write_reference_trace(const GgufFile& model, const std::vector<Prompt>& prompts, const std::string& path,
                           const std::string& command_line);

}  // namespace greta::suites
