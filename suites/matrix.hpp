// A suite's [matrix]: its arms once for each combination of quantisation and seed of a preset.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace greta::suites {

struct Arm;

struct Matrix {
  std::vector<std::string> quant;  // empty: no such dimension
  std::vector<uint64_t> seed;
  bool empty() const { return quant.empty() && seed.empty(); }
};

// "auto" becomes "auto q8_0 seed=3"; the arms of one model stand together, so that it is opened once. An arm
// that must differ from another must differ from that one on the same model. Error (usage): an arm that has a
// quantisation or seed of its own beside the matrix's.
std::vector<Arm> multiply(const std::vector<Arm>& arms, const Matrix& matrix);

}  // namespace greta::suites
