// The comparison of probes/compare.hpp, made by a device.
#pragma once

#include <functional>
#include <span>

#include "engine/compare_on_device.hpp"
#include "probes/compare.hpp"

namespace greta::cli {

// The same figures as probes::compare of the same spans; sums are added up in another order. Errors as
// Engine's, and (internal) what the device refuses.
std::function<probes::Metrics(std::span<const float>, std::span<const float>, std::span<const float>)>
compare_on(const engine::Settings& settings);

probes::Metrics metrics_of(const engine::DeviceComparison& c);

}  // namespace greta::cli
