// The names of phases that a suite may ask for, and the engine calls behind them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace greta::suites {

// Error (usage) with the nearest right name unless it is prefill, prefill_last or decodeN.
void check_phase(std::string_view name);
// N of decodeN; -1 for another phase.
int decode_index(std::string_view name);
std::string decode_name(int index);
// Where a phase stands in the order of the calls, for sorting.
int order_of_phase(std::string_view name);

}  // namespace greta::suites
