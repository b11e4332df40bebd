// Inside reports/: the lists of a conclusion (conclusion.hpp).
#pragma once

#include <vector>

#include "datasets/message.hpp"
#include "reports/run_result.hpp"

namespace greta::reports {

std::vector<Message> measured_by(const RunResult& run);
std::vector<Message> excluded_by(const RunResult& run);
std::vector<Message> left_open_by(const RunResult& run);

}  // namespace greta::reports
