// Where a stage fails and where the same stage passes, in words: phases, layers, prompts, rows of a call,
// heads, and the part of the tensor that is out of bound.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "probes/finding.hpp"
#include "probes/trials.hpp"

namespace greta::probes {

// Which elements of the tensors that were looked at are out of bound.
struct Marks {
  std::set<int64_t> heads;  // heads with an element out of bound, over all tensors
  int64_t head_count = 0;   // 0: the stage has no heads
  Message example;  // "rows 3 to 4 of 9 in p0/decode0/layer_00/v_cache"; empty: all over the first tensor
  bool any = false;
};
// `heads`: of a tensor [S, H·Dh] whose axes do not tell; 0: axis 1 of three is the heads'.
void mark(Marks& marks, const Subject& subject, const reference::Bounded& right, int64_t heads);

// `failing` are the tensors in question; `elsewhere` those of the same stage (and arm) that fail of something
// else, `passing` those that pass.
Message scope_of(const std::vector<const Finding*>& failing, const std::vector<const Finding*>& elsewhere,
                 const std::vector<const Finding*>& passing, const Marks& marks);

}  // namespace greta::probes
