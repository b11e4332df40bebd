// A file that is there whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace greta::reports {

// Writes a temporary file beside `path`, syncs it and renames it over `path`. Error (invalid: what the run
// found is not on disk) with the path and the system's reason; what was at `path` before stays.
void write_atomically(const std::string& path, std::string_view content);

}  // namespace greta::reports
