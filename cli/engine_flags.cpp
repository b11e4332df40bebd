#include "cli/engine_flags.hpp"

#include <algorithm>

#include "engine/choices.hpp"

namespace greta::cli {
namespace {

std::string flag_of(std::string_view setting) {
  std::string name(setting);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace

void add_device_flag(Options& options) {
  options.flag("device", "DEVICE", "where the engine runs: host (default), hip (the first card) or hip:N");
}

void add_devices_flag(Options& options) {
  options.flag(
      "device", "DEVICE",
      "where the engine runs: host (default), hip (the first card), hip:N, a list of these, or hip:all");
}

void add_engine_flags(Options& options) {
  for (const auto& choice : engine::choices())
    options.flag(flag_of(choice.name), std::string(choice.values),
                 "in every arm: " + std::string(choice.doc));
}

std::map<std::string, std::string> engine_settings(const Given& given) {
  std::map<std::string, std::string> out;
  engine::Settings checked;
  for (const auto& choice : engine::choices()) {
    const std::string flag = flag_of(choice.name);
    if (!given.has(flag)) continue;
    engine::choose(checked, choice.name, given.text(flag));
    out[std::string(choice.name)] = given.text(flag);
  }
  return out;
}

}  // namespace greta::cli
