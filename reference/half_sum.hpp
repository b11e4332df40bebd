// Inside reference/: dot products whose first half is summed in f16, as a hypothesis has it.
#pragma once

#include "reference/dot.hpp"

namespace greta::reference {

// As dot_products, but the first K/2 terms are added up as s = f16(s + w·x), one after another from s = 0,
// and the others to the result in f32. The f16 sum is followed step by step, overflow to infinity included;
// only where f32's rounding of w·x or of s + w·x may push a step over the middle of two neighbours of f16 is
// s an interval (rounding is monotone, so its ends are followed), whose half width counts as error.
void half_sum_products(const DotOperand& x, const Rows& w, const DotArithmetic& arithmetic, Errors& errors,
                       Eigen::Index column);

}  // namespace greta::reference
