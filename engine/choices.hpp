// The settings of an engine that have a name: what an arm of a suite, its [engine] table and the flags of the
// command line call them. To add one: a field of Settings, a row of the table in choices.cpp; suites, flags,
// `greta list settings` and the reports follow.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "engine/engine.hpp"

namespace greta::engine {

struct Choice {
  std::string_view name;    // "attention"
  std::string_view values;  // "unfused|fused", the default first
  std::string_view doc;
  void (*set)(Settings&, size_t value);  // the value's place in `values`
  std::string_view default_value() const { return values.substr(0, values.find('|')); }
};

std::span<const Choice> choices();
// Both: Error (usage) with the nearest right name.
const Choice& find_choice(std::string_view name);
void choose(Settings& settings, std::string_view name, std::string_view value);

}  // namespace greta::engine
