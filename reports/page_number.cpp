#include "reports/page_number.hpp"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace greta::reports {

nlohmann::json page_number_exact(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (value == 0) return 0;
  return value;
}

nlohmann::json page_number(double value) {
  if (!std::isfinite(value) || value == 0) return page_number_exact(value);
  char digits[32];
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::scientific, 3).ptr;
  double rounded = value;
  std::from_chars(digits, end, rounded);
  return std::abs(rounded - 1) < 0.01 || !std::isfinite(rounded) ? value : rounded;
}

}  // namespace greta::reports
