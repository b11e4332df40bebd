// What top1_coherence says when the copy of the logits to the caller is at fault; explanations know it by
// this.
#pragma once

#include <string_view>

namespace greta::probes {

inline constexpr std::string_view kNotAsWritten =
    "the logits that the caller got are not those that the last kernel wrote";

}  // namespace greta::probes
