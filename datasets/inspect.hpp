// What `greta model inspect` prints: header, metadata, the network's configuration, the tensor table, sizes
// by type.
#pragma once

#include <string>

#include "datasets/gguf.hpp"

namespace greta {

// Plain text, a line an item, each ended by a newline. Reads the whole file once, for its digest. A model of
// another architecture, or one without its keys, is described as far as it goes.
std::string inspect(const GgufFile&);

}  // namespace greta
