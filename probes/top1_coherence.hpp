// What top1_coherence says when the copy of the logits to the caller is at fault; explanations know it by
// this.
#pragma once

#include "datasets/message.hpp"

namespace greta::probes {

inline Message not_as_written() {
  return say("the logits that the caller got are not those that the last kernel wrote");
}

}  // namespace greta::probes
