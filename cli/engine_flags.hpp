// The flags of what is asked of an engine: --device, and one for each setting of engine/choices.hpp.
#pragma once

#include <map>
#include <string>

#include "cli/options.hpp"

namespace greta::cli {

void add_device_flag(Options& options);
void add_devices_flag(Options& options);  // for runs of many cases
void add_engine_flags(Options& options);  // --unit, --attention, …: in every arm
// Those that were given, by the setting's name. Error (usage): a value that the setting does not have.
std::map<std::string, std::string> engine_settings(const Given& given);

}  // namespace greta::cli
