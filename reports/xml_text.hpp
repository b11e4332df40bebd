// Text that may stand in an XML 1.0 document.
#pragma once

#include <string>
#include <string_view>

namespace greta::reports {

// Bytes that are no UTF-8, and characters that XML 1.0 forbids even escaped (most control characters, U+FFFE,
// U+FFFF), become U+FFFD. Quoting is the writer's work.
std::string xml_text(std::string_view text);

}  // namespace greta::reports
