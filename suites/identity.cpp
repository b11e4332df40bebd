#include "suites/identity.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "reference/reference.hpp"

namespace greta::suites {
namespace {

using nlohmann::json;

json to_json(const GgufArray& array) {
  constexpr size_t kMost = 16;  // a vocabulary is no metadata to read in a report
  if (array.size() > kMost) return {{"length", array.size()}};
  return std::visit(
      [](const auto& values) {
        json out = json::array();
        for (const auto& value : values) out.push_back(value);
        return out;
      },
      array.values);
}

json to_json(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> json {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, GgufArray>)
          return to_json(held);
        else
          return held;
      },
      value.value);
}

}  // namespace

std::string metadata_json(const GgufFile& model) {
  json out = json::object();
  for (const auto& [key, value] : model.metadata()) out[key] = to_json(value);
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

RunIdentity identify(const GgufFile& model, const std::vector<Prompt>& prompts, const EnginePort& engine,
                     const std::string& command_line) {
  return identify(model, prompts, engine.device(), engine.backend(), command_line);
}

RunIdentity identify(const GgufFile& model, const std::vector<Prompt>& prompts, const std::string& device,
                     const std::string& backend, const std::string& command_line) {
  RunIdentity identity;
  identity.greta_version = GRETA_VERSION;
  identity.build = fmt::format("{}, {} {}", GRETA_BUILD, GRETA_COMPILER, __VERSION__);
  identity.command_line = command_line;
  identity.model_path = model.path();
  identity.model_digest = model.digest();
  identity.model_metadata_json = metadata_json(model);
  identity.device = device;
  identity.backend = backend;
  identity.created = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::now()));
  for (const auto& prompt : prompts) identity.prompt_tokens[prompt.id] = prompt.tokens;
  return identity;
}

}  // namespace greta::suites
