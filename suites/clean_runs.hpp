// False alarms: engines without faults on fresh models, shapes, quantisations, prompts, routes and wave
// sizes. Not one of them may come out FAIL or INVALID.
#pragma once

#include <functional>
#include <string>

#include "suites/selftest.hpp"

namespace greta::suites {

// options.clean runs, counted in `result`; each alarm is one line that says how to make the run again.
void run_clean(const SelftestOptions& options, reports::SelftestResult& result,
               const std::function<void(const std::string&)>& tell);

}  // namespace greta::suites
