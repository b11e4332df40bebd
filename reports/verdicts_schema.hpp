// The JSON schema of verdicts.json: docs/verdicts.schema.json, as it is in the binary.
#pragma once

#include <string_view>

namespace greta::embedded {

std::string_view verdicts_schema();

}  // namespace greta::embedded
