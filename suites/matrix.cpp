#include "suites/matrix.hpp"

#include <fmt/format.h>

#include "datasets/error.hpp"
#include "suites/suite.hpp"

namespace greta::suites {
namespace {

// One combination; what the matrix does not vary is as the arm has it.
struct Cell {
  std::string quant;
  std::optional<uint64_t> seed;
  std::string suffix() const {
    return (quant.empty() ? "" : " " + quant) + (seed ? fmt::format(" seed={}", *seed) : "");
  }
};

std::vector<Cell> cells_of(const Matrix& matrix) {
  std::vector<Cell> out;
  const std::vector<std::string> no_quant = {""};
  for (const auto& quant : matrix.quant.empty() ? no_quant : matrix.quant) {
    if (matrix.seed.empty()) out.push_back({quant, std::nullopt});
    for (const uint64_t seed : matrix.seed) out.push_back({quant, seed});
  }
  return out;
}

Arm in_cell(Arm arm, const Cell& cell) {
  const auto refuse = [&](const char* what) {
    fail_usage("arm '{}' has a {} of its own, and the [matrix] gives it others; leave one of them out",
               arm.name, what);
  };
  if (!cell.quant.empty() && !arm.quant.empty()) refuse("quant");
  if (cell.seed && arm.seed) refuse("seed");
  if (!cell.quant.empty()) arm.quant = cell.quant;
  if (cell.seed) arm.seed = cell.seed;
  arm.name += cell.suffix();
  if (!arm.differs_from.empty()) arm.differs_from += cell.suffix();
  return arm;
}

}  // namespace

std::vector<Arm> multiply(const std::vector<Arm>& arms, const Matrix& matrix) {
  if (matrix.empty()) return arms;
  std::vector<Arm> out;
  for (const Cell& cell : cells_of(matrix))
    for (const Arm& arm : arms) out.push_back(in_cell(arm, cell));
  return out;
}

}  // namespace greta::suites
