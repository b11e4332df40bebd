// Inside reference/: the audit of given values, so that a test can hand it a slip.
#pragma once

#include "reference/double_double.hpp"
#include "reference/stages.hpp"

namespace greta::reference {

// The largest |value − double-double| / expected over `samples` random elements; infinite where one is NaN
// and the other is not.
double audit_values(const Request& request, const Matrix& value, const Matrix& expected, int samples,
                    uint64_t seed);

}  // namespace greta::reference
