// `greta compare A.h5 B.h5`: two runs held against each other, tensor by tensor. B is the reference of the
// relative tolerance.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/compare.hpp"
#include "probes/finding.hpp"

namespace greta::probes {

// Two values agree when they are bitwise equal (up to the sign of zero), or no further apart than `ulp` units
// in the last place of B's value in B's type, or than `rel` times |B|.
struct TraceTolerance {
  double ulp = 0, rel = 0;
  // "ulp=4" or "rel=1e-3"; empty: bitwise. Error (usage) otherwise.
  static TraceTolerance parse(std::string_view text);
  std::string text() const;  // "bitwise", "ulp=4", "rel=0.001"
};

struct TraceComparison {
  TraceTolerance tolerance;
  std::map<std::string, std::string>
      arms;  // an arm of A -> the arm of B that it is compared with; absent: the same name
  // What compares two tensors: compare() of probes/compare.hpp, or another that says the same.
  std::function<Metrics(std::span<const float>, std::span<const float>, std::span<const float>)> compare =
      [](auto a, auto b, auto allowed) { return probes::compare(a, b, allowed); };
};

// A finding a tensor, in A's path order, then those that only B has: `pass` or `fail` with Metrics, or
// `invalid` when it is only in one of them, or differs in shape, type, axes or window. Nothing to compare at
// all is one invalid finding. Errors (invalid), naming which: another model digest, other tokens of a prompt
// or none, other positions of a tensor. (bad_input): unreadable.
std::vector<Finding> compare_traces(const TraceReader& a, const TraceReader& b,
                                    const TraceComparison& how = {});

}  // namespace greta::probes
