// What probes put into Finding::figures: short ways to write one, and the judgements that several of them
// report in the same words.
#pragma once

#include <span>
#include <string>

#include "probes/compare.hpp"
#include "probes/finding.hpp"
#include "reference/reference.hpp"

namespace greta::probes {

inline Figure number(std::string name, double value, std::string of = {}) {
  return {.name = std::move(name), .value = value, .of = std::move(of)};
}
inline Figure word(std::string name, std::string text, std::string of = {}) {
  return {.name = std::move(name), .text = std::move(text), .of = std::move(of)};
}

inline std::span<const double> span_of(const reference::Matrix& m) {
  return {m.data(), static_cast<size_t>(m.size())};
}
inline Metrics against(std::span<const float> actual, const reference::Bounded& bounded) {
  return compare(actual, span_of(bounded.value), span_of(bounded.expected), span_of(bounded.certain));
}

// Which of two readings the output is inside the bound of. "neither" is an answer: the smaller of two misfits
// is no cause.
inline std::string layout_of(bool row, bool col) {
  return row && col ? "both" : row ? "row" : col ? "col" : "neither";
}

}  // namespace greta::probes
