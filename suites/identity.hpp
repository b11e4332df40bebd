// Who made a run, of what: the same words in the trace and in the reports.
#pragma once

#include "datasets/gguf.hpp"
#include "datasets/prompts.hpp"
#include "datasets/trace.hpp"
#include "suites/engine_port.hpp"

namespace greta::suites {

// `device`, `backend`: what computed it.
RunIdentity identify(const GgufFile& model, const std::vector<Prompt>& prompts, const std::string& device,
                     const std::string& backend, const std::string& command_line);
RunIdentity identify(const GgufFile& model, const std::vector<Prompt>& prompts, const EnginePort& engine,
                     const std::string& command_line);
// The model's metadata as one JSON object; arrays longer than 16 by their length alone.
std::string metadata_json(const GgufFile& model);

}  // namespace greta::suites
