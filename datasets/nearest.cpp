#include "datasets/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace greta {

int edit_distance(std::string_view a, std::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<int> before(width), previous(width), current(width);
  std::iota(previous.begin(), previous.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = previous[j - 1] + (a[i - 1] != b[j - 1]);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

std::string nearest(std::string_view wrong, std::span<const std::string> right) {
  const auto best = std::min_element(right.begin(), right.end(), [&](const auto& x, const auto& y) {
    return edit_distance(wrong, x) < edit_distance(wrong, y);
  });
  return best == right.end() ? std::string() : *best;
}

std::string unknown_name(std::string_view kind, std::string_view wrong, std::span<const std::string> right) {
  if (right.empty()) return fmt::format("unknown {} '{}'; none is known here", kind, wrong);
  return fmt::format("unknown {} '{}'; did you mean '{}'? (known: {})", kind, wrong, nearest(wrong, right),
                     fmt::join(right, ", "));
}

}  // namespace greta
