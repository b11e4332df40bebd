#include "suites/suite_lines.hpp"

#include <toml++/toml.h>

namespace greta::suites {

std::map<std::string, int> arm_lines(const std::string& suite_path) try {
  std::map<std::string, int> lines;
  const toml::table suite = toml::parse_file(suite_path);
  if (const toml::array* arms = suite["arm"].as_array())
    for (const auto& arm : *arms)
      if (const toml::table* table = arm.as_table())
        if (const auto name = (*table)["name"].value<std::string>())
          lines[*name] = static_cast<int>(table->source().begin.line);
  return lines;
} catch (const toml::parse_error&) {
  return {};
}

}  // namespace greta::suites
